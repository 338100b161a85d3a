"""Serve the page: flags, limits, and the launch itself."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Sequence

from cvdemo.core import weights
from cvdemo.core.device import configure_threads, parse_bytes, pick_device
from cvdemo.core.engine import Engine, default_engine, set_default_engine
from cvdemo.core.errors import CvDemoError


def build_parser() -> argparse.ArgumentParser:
    """The flags of ``app.py``."""
    parser = argparse.ArgumentParser(prog="app.py", description="cvdemo: a computer-vision laboratory in the browser.")
    # None leaves the choice to Gradio, which listens where GRADIO_SERVER_NAME says: hosting services set that.
    parser.add_argument(
        "--host", default=None, help="address to listen on; 0.0.0.0 for a whole classroom (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=None, help="port (default: 7860 or the next free one)")
    parser.add_argument("--device", default=None, help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--memory-budget", type=str, default=None, help="memory for models, such as 800M or 4G")
    parser.add_argument("--share", action="store_true", help="ask Gradio for a public link (needs the network)")
    parser.add_argument("--ssl-certfile", default=None, help="certificate, so that webcams work beyond localhost")
    parser.add_argument("--ssl-keyfile", default=None, help="key of the certificate")
    parser.add_argument("--max-users", type=int, default=32, help="how many may use their webcam at the same time")
    parser.add_argument("--no-preload", action="store_true", help="load the first model only when it is asked for")
    parser.add_argument("--offline", action="store_true", help="never download weights")
    return parser


def _load_first_model() -> None:
    from cvdemo.detection.predict import DEFAULT_MODEL

    with contextlib.suppress(CvDemoError):
        default_engine().preload(DEFAULT_MODEL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse flags, build the page, serve until interrupted."""
    args = build_parser().parse_args(arguments)
    try:
        if args.offline:
            weights.set_offline(True)
        configure_threads()
        budget = parse_bytes(args.memory_budget) if args.memory_budget else None
        set_default_engine(Engine(pick_device(args.device), budget))
    except CvDemoError as error:
        sys.exit(str(error))

    from cvdemo.ui.shell import MAX_UPLOAD, build_app  # gradio takes seconds to import: wrong flags fail before it
    from cvdemo.ui.theme import launch_look

    demo = build_app(max_users=args.max_users)
    demo.queue(max_size=max(64, 4 * args.max_users))
    # The model of the first screen loads while the browser does; its errors are shown when somebody asks for it.
    if not args.no_preload:
        threading.Thread(target=_load_first_model, daemon=True).start()
    demo.launch(
        server_name=args.host,
        server_port=args.port,
        share=args.share,
        ssl_certfile=args.ssl_certfile,
        ssl_keyfile=args.ssl_keyfile,
        ssl_verify=False,  # the start-up check calls our own, possibly self-signed, certificate
        run_history=False,  # it would keep visitors' pictures in their browsers
        max_file_size=MAX_UPLOAD,
        state_session_capacity=max(100, 4 * args.max_users),
        enable_monitoring=False,
        ssr_mode=False,
        footer_links=[],
        **launch_look(),  # type: ignore[arg-type]
    )
