"""The page's HTML gets its early script and is compressed; nothing else is touched."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from cvdemo.ui.front_page import FrontPage, with_script
from cvdemo.ui.theme import early_script, launch_look

HTML = "<html><head><title>é</title></head><body>" + "x" * 5000 + "</head></body></html>"


def client_of(response: Response) -> TestClient:
    async def answer(request: Request) -> Response:
        return response

    routes = [Route("/", answer), Route("/other", answer)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(FrontPage, "early()")]), follow_redirects=False)


def test_the_script_is_the_last_thing_in_the_first_head() -> None:
    assert with_script(b"<head>a</head></head>", "é") == "<head>a<script>é</script></head></head>".encode()
    assert with_script(b"no head", "x") == b"no head"


@pytest.mark.parametrize("accepted", ["gzip, deflate", "identity"])
def test_the_page_arrives_whole_compressed_or_not(accepted: str) -> None:
    answer = client_of(HTMLResponse(HTML)).get("/", headers={"accept-encoding": accepted})
    assert answer.text == HTML.replace("</head>", "<script>early()</script></head>", 1)
    assert answer.headers.get("content-encoding") == ("gzip" if "gzip" in accepted else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (int(answer.headers["content-length"]) < 500) == ("gzip" in accepted)


OTHERS = (JSONResponse({"</head>": 1}), RedirectResponse("/login"), Response(status_code=500))


@pytest.mark.parametrize("response", OTHERS)
def test_other_answers_of_the_same_address_are_left_alone(response: Response) -> None:
    answer = client_of(response).get("/")
    assert (answer.status_code, answer.content) == (response.status_code, response.body)
    assert "content-encoding" not in answer.headers


def test_headers_that_stand_twice_are_kept() -> None:
    response = HTMLResponse(HTML, headers={"vary": "Origin"})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    answer = client_of(response).get("/")
    assert len(answer.headers.get_list("set-cookie")) == 2
    assert answer.headers["vary"] == "Origin, Accept-Encoding"


def test_other_addresses_are_left_alone() -> None:
    assert client_of(HTMLResponse(HTML)).get("/other").text == HTML


def test_the_page_is_launched_with_its_early_script() -> None:
    kwargs = launch_look()["app_kwargs"]
    assert isinstance(kwargs, dict)
    (middleware,) = kwargs["middleware"]
    assert middleware.cls is FrontPage
    assert middleware.args == (early_script(),)
