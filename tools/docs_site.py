"""Hook of mkdocs: adds to the site the files outside of `docs/` to which pages link.

Pages link to such files as on GitHub, relative to the page. Markdown files
become pages under `project/`, and other files become pages with their text
under `source/`. So no link leaves the site, and the site needs no repository.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PROJECT = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]+)?\)")
# Not JSON: the schema and the dashboard are long, and their colours took half of the build.
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the project's own pages, and a page for each other file that a page names."""
    for name in PROJECT:
        files.append(File.generated(config, f"project/{name}", content=(ROOT / name).read_text("utf-8")))
    for path in sorted({path for file in files.documentation_pages() for path in _sources(file)}):
        files.append(File.generated(config, _uri(path), content=_shown(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs passes them by name
    """Lead each link that leaves `docs/` to the file's page in the site."""
    here = page.file.src_uri

    def led(link: re.Match[str]) -> str:
        target = _target(here, link["path"])
        if target is None or here.startswith("source/"):
            return link[0]
        way = posixpath.relpath(_uri(target), posixpath.dirname(here))
        return f"]({way}{link['anchor'] or ''})"

    return _LINK.sub(led, markdown)


def _sources(file: File) -> Iterator[str]:
    """Yield the paths of files, from the root of the project, that get a page under `source/`."""
    for link in _LINK.finditer(file.content_string):
        target = _target(file.src_uri, link["path"])
        if target is not None and _uri(target).startswith("source/"):
            yield target


def _target(here: str, link: str) -> str | None:
    """Return the path of the linked file or folder from the root of the project, or None if there is none."""
    origin = here.removeprefix("project/") if here.startswith("project/") else f"docs/{here}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    index = (f"{path}/{name}" for name in ("README.md", "__init__.py"))
    path = next((each for each in index if (ROOT / each).is_file()), path)
    return path if (ROOT / path).exists() else None


def _uri(path: str) -> str:
    """Return the place in the site of a file, named by its path from the root of the project."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"project/{path}" if path in PROJECT else f"source/{path}.md"


def _shown(path: str) -> str:
    """Return a page with the text of a file, or the names of a folder's files. The search leaves it out."""
    language = _LANGUAGES.get(posixpath.splitext(path)[1], "")
    if (ROOT / path).is_dir():
        text = "\n".join(sorted(str(each.relative_to(ROOT)) for each in (ROOT / path).rglob("*.*")))
    else:
        text = (ROOT / path).read_text("utf-8")
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n~~~~{language}\n{text}\n~~~~\n"
