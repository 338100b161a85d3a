"""What the Retrieval view shows: the collection, a ranking with its precision, and what few examples teach."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import encode_picture
from cvdemo.core.settings import Settings, setting
from cvdemo.faces.collection import Collection, Item
from cvdemo.faces.mining_view import colour_of
from cvdemo.faces.retrieval import (
    LowShot,
    average_precision,
    few_shot_accuracy,
    nearest_class_mean,
    nearest_neighbours,
    retrieval_quality,
    retrieve,
)
from cvdemo.ui.markup import safe

SEARCH, LOW_SHOT = "search", "lowshot"
TOPICS: dict[str, str] = {SEARCH: "Search by picture", LOW_SHOT: "Low-shot classes"}
PROTOTYPES, NEIGHBOURS = "prototypes", "neighbours"
HELP: dict[str, str] = {
    SEARCH: "Information retrieval: press a picture to ask with it. The others are ranked by the cosine similarity of "
    "their features; a hit is a picture of the same class, where classes are named.",
    LOW_SHOT: "The first few pictures of each class are its examples, and nothing is trained: a new picture gets the "
    "class of the nearest prototype (the mean of a class's examples), or of its nearest neighbour.",
}
BACKBONE = (
    "Features: the last layer of this project's classifier, which learnt 1,000 other classes from labels. Example "
    "pictures come with three views each that this program made of them, so that there is something to find."
)

POOL_CSS = """
.pool { display: grid; grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); gap: 8px; max-height: 58vh;
  overflow-y: auto; padding: 4px; }
.pool button { padding: 0 0 4px; border: 3px solid transparent; border-radius: 8px; cursor: pointer; min-width: 0;
  background: var(--background-fill-secondary); color: var(--body-text-color); }
.pool button.chosen { border-color: #e69f00; }
.pool button:hover { border-color: var(--body-text-color-subdued); }
.pool button:focus-visible { outline: 3px solid #e69f00; outline-offset: 1px; }
.pool img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 5px 5px 0 0; display: block; }
.pool span { font-size: 14px; display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""
FOUND_CSS = """
.ranking { display: flex; gap: 18px; align-items: flex-start; flex-wrap: wrap; }
.ranking figure { margin: 0; width: 132px; }
.ranking figure img { width: 132px; height: 132px; border-radius: 8px; border: 3px solid #e69f00; display: block; }
.ranking figcaption { font-size: 14px; overflow-wrap: anywhere; }
ol { list-style: none; margin: 0; padding: 0; flex: 1 1 300px; display: grid; gap: 8px;
  grid-template-columns: repeat(auto-fill, minmax(118px, 1fr)); }
ol > li { margin: 0; padding: 0 0 4px; border-radius: 8px; overflow: hidden; font-size: 14px; position: relative;
  background: var(--background-fill-secondary); border: 3px solid var(--border-color-primary); }
li.hit { border-color: #009e73; }
li.miss { border-color: #d55e00; border-style: dashed; }
li.beyond { opacity: 0.55; }
ol > li > img { width: 100%; aspect-ratio: 1; object-fit: cover; display: block; }
ol > li > b { position: absolute; top: 0; left: 0; padding: 1px 8px; background: #141414cc; color: white;
  border-radius: 0 0 8px 0; }
ol > li > span { display: block; padding: 3px 6px 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
ol > li > em { padding: 0 6px; font-style: normal; font-variant-numeric: tabular-nums; }
ol > li > i { display: block; height: 7px; margin: 4px 6px; border-radius: 4px;
  background: color-mix(in srgb, var(--body-text-color-subdued) 16%, transparent); }
ol > li > i > u { display: block; height: 100%; border-radius: 4px; background: var(--chart-right); }
.taught .classes { list-style: none; margin: 0 0 12px; padding: 0; display: flex; flex-wrap: wrap; gap: 10px 18px; }
.taught .classes li { margin: 0; }
.taught .classes b { display: block; border-left: 6px solid; padding-left: 6px; font-size: 15px; margin-bottom: 3px; }
.taught .few { display: flex; gap: 4px; }
.taught .few img { width: 56px; height: 56px; border-radius: 5px; }
.taught ol > li > span { border-left: 6px solid; }
"""


@dataclass(frozen=True)
class RetrievalSettings(Settings):
    """Everything that acts on features already computed."""

    topic: str = setting(SEARCH, label="Topic", choices=tuple(TOPICS), help="What the features are used for.")
    k: int = setting(
        3,
        label="k, pictures looked at",
        minimum=1,
        maximum=20,
        step=1,
        help="Precision at k: the share of hits among them.",
    )
    rule: str = setting(
        PROTOTYPES, label="Rule", choices=(PROTOTYPES, NEIGHBOURS),
        help="Nearest class mean (prototype), or the vote of the nearest neighbours.",
    )  # fmt: skip
    shots: int = setting(
        1,
        label="Examples of each class",
        minimum=1,
        maximum=10,
        step=1,
        help="The first so many are examples, the rest are asked.",
    )
    neighbours: int = setting(
        1,
        label="Neighbours that vote",
        minimum=1,
        maximum=9,
        step=1,
        help="With one, the most similar example decides.",
    )


@dataclass(frozen=True, eq=False)
class Ranking:
    """The others by similarity to the picture that asks.

    relevant: (N,) bool, whether each is of its class; None where the query has no class, or nobody else has one.
    """

    query: Item
    items: tuple[Item, ...]
    similarities: tuple[float, ...]
    relevant: np.ndarray | None

    def precision(self, k: int) -> float | None:
        """The share of hits among the first k; None where it is not known what a hit is."""
        return None if self.relevant is None or not len(self.items) else float(self.relevant[:k].mean())

    @property
    def average_precision(self) -> float | None:
        """The mean of the precisions at each hit."""
        return None if self.relevant is None else average_precision(self.relevant)

    def sentence(self, k: int) -> str:
        """Such as "Most like lion.jpg: lion, view 2 (0.83); precision at 5 is 60 %, average precision 0.81"."""
        if not self.items:
            return "There is nothing to rank: add more pictures."
        said = f"Most like {self.query.name}: {self.items[0].name} ({self.similarities[0]:.2f})"
        precision = self.precision(k)
        if precision is None:
            return f"{said}; name the classes to measure the ranking"
        shown = min(k, len(self.items))
        return (
            f"{said}; precision at {shown} is {100 * precision:.0f} %, average precision {self.average_precision:.2f}"
        )

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """JSON-ready."""
        rows = [{"name": item.name, "similarity": round(v, 4)} for item, v in zip(self.items, self.similarities)]
        return {
            "query": self.query.name,
            "ranked": rows,
            f"precision@{k}": self.precision(k),
            "ap": self.average_precision,
        }


def rank(collection: Collection, key: int | None) -> Ranking | None:
    """All others by their similarity to a picture; None without one. Of equals the earlier comes first."""
    query = collection.item(key)
    if query is None:
        return None
    others = [item for item in collection.items if item.key != query.key]
    if not others:
        return Ranking(query, (), (), None)
    found = retrieve(np.stack([item.features for item in others]), query.features, len(others))
    ranked = tuple(others[row] for row, _ in found)
    relevant = np.array([item.label == query.label for item in ranked])
    return Ranking(query, ranked, tuple(v for _, v in found), relevant if query.label and relevant.any() else None)


@dataclass(frozen=True, eq=False)
class Taught:
    """What few examples say of the other pictures.

    examples, asked: the pictures.   answer: the class and scores of each of ``asked``.   right: how many of the asked
    that have a class were given it, of ``judged``.
    """

    examples: tuple[Item, ...]
    asked: tuple[Item, ...]
    answer: LowShot
    right: int
    judged: int

    def sentence(self) -> str:
        """Such as "1 example of each of 5 classes: 13 of 15 other pictures are named right (87 %)"."""
        classes, count = len(self.answer.classes), len(self.examples)
        learnt = f"{count} examples of {classes} classes"
        if count == classes:
            learnt = f"One example of each of {classes} classes"
        if not self.judged:
            return f"{learnt}: no other picture has a class to compare with"
        share = 100 * self.right / self.judged
        return f"{learnt}: {self.right} of {self.judged} other pictures are named right ({share:.0f} %)"


def split(collection: Collection, shots: int) -> tuple[list[Item], list[Item]]:
    """(examples, others): the first ``shots`` pictures of each named class, in order of addition."""
    taken: dict[str, int] = {}
    examples, asked = [], []
    for item in collection.items:
        if item.label and taken.get(item.label, 0) < shots:
            taken[item.label] = taken.get(item.label, 0) + 1
            examples.append(item)
        else:
            asked.append(item)
    return examples, asked


def teach(collection: Collection, settings: RetrievalSettings) -> Taught:
    """Classify all pictures that are no examples; InputError without two named classes."""
    examples, asked = split(collection, settings.shots)
    if len({item.label for item in examples}) < 2:
        raise InputError(
            "Low-shot classification needs two classes.", hint="Press a picture and name its class, or add pictures."
        )
    answer = judge(examples, np.stack([item.features for item in asked or examples]), settings)
    if not asked:
        return Taught(tuple(examples), (), answer, 0, 0)
    named = [answer.classes[label] for label in answer.labels]
    judged = [item.label == name for item, name in zip(asked, named) if item.label in answer.classes]
    return Taught(tuple(examples), tuple(asked), answer, sum(judged), len(judged))


def judge(examples: list[Item], queries: np.ndarray, settings: RetrievalSettings) -> LowShot:
    """The class of each query (M, D) by the chosen rule."""
    features, labels = np.stack([item.features for item in examples]), [item.label for item in examples]
    if settings.rule == PROTOTYPES:
        return nearest_class_mean(features, labels, queries)
    return nearest_neighbours(features, labels, queries, settings.neighbours)


def quality_words(collection: Collection, settings: RetrievalSettings) -> str:
    """How the features do over the whole collection, "" where that cannot be said yet."""
    named = [item for item in collection.items if item.label]
    if not named:
        return ""
    features, labels = np.stack([item.features for item in named]), [item.label for item in named]
    try:
        if settings.topic == SEARCH:
            quality = retrieval_quality(features, labels, settings.k)
            return f"Every named picture asking in turn: mAP {quality['mAP']:.2f}, precision at {settings.k} " + (
                f"{100 * quality[f'precision@{settings.k}']:.0f} %"
            )
        mean, spread = few_shot_accuracy(features, labels, settings.shots)
        return (
            f"Prototypes of {settings.shots} drawn at random, 20 times: {100 * mean:.0f} % ± {100 * spread:.0f} right"
        )
    except InputError:
        return ""


def _picture(collection: Collection, item: Item) -> str:
    if item.key not in collection.urls:
        data = base64.b64encode(encode_picture(item.thumbnail, "jpeg", quality=80)).decode()
        collection.urls[item.key] = f"data:image/jpeg;base64,{data}"
    return f'<img src="{collection.urls[item.key]}" alt="">'


def grid_html(collection: Collection) -> str:
    """All pictures as buttons: a press makes one the picture that asks."""
    if not collection.items:
        return '<p class="hint">No pictures yet. Add some, or bring the examples back.</p>'
    cells = ""
    for number, item in enumerate(collection.items, 1):
        chosen = item.key == collection.chosen
        words = f"{item.name}{f', class {item.label}' if item.label else ', no class'}{', chosen' if chosen else ''}"
        cells += (
            f'<button type="button" data-key="{item.key}" aria-pressed="{str(chosen).lower()}" '
            f'class="{"chosen" if chosen else ""}" aria-label="Picture {number}: {safe(words)}">'
            f"{_picture(collection, item)}<span>{safe(item.label) or '?'}</span></button>"
        )
    return f'<div class="pool">{cells}</div>'


def ranking_html(collection: Collection, ranking: Ranking, k: int) -> str:
    """The query, and the first pictures of its ranking with similarity and hit or miss."""
    cells = ""
    for place, (item, value) in enumerate(zip(ranking.items[: max(k, 10)], ranking.similarities), 1):
        hit = ranking.relevant is not None and bool(ranking.relevant[place - 1])
        mark = "" if ranking.relevant is None else ("✓ " if hit else "✗ ")
        kind = "" if ranking.relevant is None else ("hit" if hit else "miss")
        cells += (
            f'<li class="{kind}{" beyond" if place > k else ""}">{_picture(collection, item)}<b>{place}</b>'
            f'<span>{mark}{safe(item.label or item.name)}</span><i><u style="width:{100 * max(value, 0):.0f}%"></u></i>'
            f"<em>{value:.2f}</em></li>"
        )
    query = ranking.query
    asks = f"<figure>{_picture(collection, query)}<figcaption>asks: {safe(query.name)}</figcaption></figure>"
    return f'<div class="ranking">{asks}<ol>{cells}</ol></div>'


def taught_html(collection: Collection, taught: Taught) -> str:
    """Each class's examples, then what every other picture was taken for."""
    rows = ""
    for number, name in enumerate(taught.answer.classes):
        pictures = "".join(_picture(collection, item) for item in taught.examples if item.label == name)
        rows += (
            f'<li><b style="border-color:{colour_of(number)}">{safe(name)}</b><span class="few">{pictures}</span></li>'
        )
    cells = ""
    for item, label, scores in zip(taught.asked, taught.answer.labels, taught.answer.scores):
        name = taught.answer.classes[label]
        known = item.label in taught.answer.classes
        mark = ("✓ " if item.label == name else "✗ ") if known else ""
        kind = ("hit" if item.label == name else "miss") if known else ""
        cells += (
            f'<li class="{kind}">{_picture(collection, item)}<span style="border-color:{colour_of(int(label))}">'
            f"{mark}{safe(name)}</span><em>{scores[label]:.2f}</em></li>"
        )
    return f'<div class="taught"><ul class="classes">{rows}</ul><ol>{cells}</ol></div>'


def scores_html(answer: LowShot, title: str) -> str:
    """One picture's score for every class, best first."""
    order = np.argsort(-answer.scores[0], kind="stable")
    rows = "".join(
        f'<li><span class="rank">{place}</span><span class="name">{safe(answer.classes[row])}</span>'
        f'<span class="value">{answer.scores[0][row]:.2f}</span><span class="track">'
        f'<span style="width:{100 * max(0.0, float(answer.scores[0][row])):.0f}%"></span></span></li>'
        for place, row in enumerate(order, 1)
    )
    return f'<p class="hint">{safe(title)}</p><ol class="class-bars">{rows}</ol>'
