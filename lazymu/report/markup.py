"""HTML by construction: every text and attribute is escaped unless it was made here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any


class Html(str):
    """Markup that is safe to put into a page as it is."""

    __slots__ = ()


_VOID = {"input", "rect", "line", "path", "br"}


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Return an element; children that are no :class:`Html` are escaped, as attributes are.

    ``class_`` is the attribute ``class``, ``data_value`` is ``data-value``. Attributes that are
    None or False are left out.

    Examples
    --------
    >>> tag("td", "<b>", class_="name")
    '<td class="name">&lt;b&gt;</td>'
    """
    written = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID and not children:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def joined(parts: Iterable[object]) -> Html:
    """Return parts one after the other, escaped where they are no markup."""
    return Html("".join(p if isinstance(p, Html) else html.escape(str(p)) for p in parts))


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str, class_: str = ""
) -> Html:
    """Return a table that scrolls sideways in its own box; the first column heads the rows."""
    head = tag("tr", *(tag("th", name, scope="col") for name in header))
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
        for row in rows
    ]
    made = tag(
        "table",
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", *body),
        class_=class_ or None,
    )
    return scrolling(made, caption)


def scrolling(content: Html, label: str, class_: str = "scroll") -> Html:
    """Return a box that scrolls, by the keyboard too."""
    return tag("div", content, class_=class_, role="region", aria_label=label, tabindex="0")


def paragraphs(texts: Iterable[object], class_: str | None = None) -> list[Html]:
    """Return each text as a paragraph."""
    return [tag("p", text, class_=class_) for text in texts]


def script_json(value: Any) -> Html:
    r"""Return JSON that may stand in a ``<script>``: no tag or comment can begin or end in it.

    Examples
    --------
    >>> script_json("</script><!--")
    '"\\u003c/script\\u003e\\u003c!--"'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)
