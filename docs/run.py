"""Run the commands of the pages, and compare what they print with what the pages show.

    python -m docs.run docs/tutorial.md            # say where they differ
    python -m docs.run --write docs/tutorial.md    # and write what they print into the page

Without a page all of them are run, which takes minutes. What varies is masked (`docs/builder/outputs.py`).
"""

import argparse
import sys
import time
from pathlib import Path

from docs.builder import page


def main(argv: list[str]) -> int:
    """Run the pages; 1 where one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m docs.run", description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", type=Path, help="default: all that have commands")
    parser.add_argument("--write", action="store_true", help="put what is printed into the pages")
    parser.add_argument("--fast", action="store_true", help="leave out the blocks that are marked slow")
    args = parser.parse_args(argv)
    failed = 0
    for path in args.pages or page.with_commands():
        began = time.monotonic()
        outcome = page.run(path, slow=not args.fast)
        if args.write:
            path.write_text(outcome.rewritten, encoding="utf-8")
        for difference in outcome.differences:
            print(f"{path}: {difference}\n")
        failed += len(outcome.differences)
        seconds = time.monotonic() - began
        print(f"{path}: {outcome.commands} commands, {len(outcome.differences)} differ, {seconds:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
