"""Writes docs/supported-fields.md: `make docs`. A test fails when the file and the code disagree."""

from __future__ import annotations

from pathlib import Path

from master.config.support import supported

PAGE = Path(__file__).resolve().parents[1] / "docs/supported-fields.md"
HEAD = """\
# Supported fields

Every field of Envoy's v3 API that is implemented, by message; written by `make docs` from the code that reads them. A
field counts only when a test fails without it (`make field-audit`). Where only some values of an enum are implemented,
they stand behind the field. Whatever a file sets beyond these is reported by `proxyctl validate`, by its path.
"""


def render() -> str:
    """The page."""
    parts = [HEAD]
    for message, names in sorted(supported().items()):
        fields: dict[str, list[str]] = {}
        for name in sorted(names):
            field, _, value = name.partition("=")
            fields.setdefault(field, []).extend([value] if value else [])
        shown = (f"`{field}`" + (f" ({', '.join(values)})" if values else "") for field, values in fields.items())
        parts.append(f"- **{message}**: {', '.join(shown)}\n")
    return parts[0] + "\n" + "".join(parts[1:])


if __name__ == "__main__":
    PAGE.write_text(render())
