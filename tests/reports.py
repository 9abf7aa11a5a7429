"""Reports of the jobs that tests share, each written once a run, and HTML that has been read."""

import functools
import re
from html.parser import HTMLParser

from trainer import report
from trainer.settings import command
from trainer.storage import paths


VOID = {"meta", "link", "img", "br"}
LOADING = {"src", "href", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href"}


def write(output, *words):
    """The page that the command writes."""
    assert command.run(report.main, prog=report.PROG, argv=[*words, "--output", str(output)]) == 0
    return Page(paths.read_bytes(str(output)).decode())


@functools.cache
def file_of(job_dir, *others):
    """The path of a whole report of a job dir, beside it; with another one compared, where that is given."""
    output = f"{job_dir}.html"
    write(output, "--job-dir", job_dir, *(word for other in others for word in ("--compare", other)))
    return output


def page_of(job_dir, *others):
    """The same, as a page."""
    return Page(paths.read_bytes(file_of(job_dir, *others)).decode())


class Page(HTMLParser):
    """A page that has been read: whether what is open is closed in order, and what it would load."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.html, self.open, self.errors = html, [], []
        self.ids, self.loads, self.tags, self.words = [], [], [], []
        self.feed(html)
        self.close()
        self.errors += self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self.loads += [value for name, value in attrs if name in LOADING]
        self.loads += [url for name, value in attrs if value for url in re.findall(r"url\(([^)]*)\)", value)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"/{tag}")

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.loads += re.findall(r"url\([^)]*\)|@import", data)
        else:
            self.words.append(data)

    def all(self, tag):
        """The attributes of all elements of a name."""
        return [attributes for name, attributes in self.tags if name == tag]
