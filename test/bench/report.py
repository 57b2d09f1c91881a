#!/usr/bin/env python3
"""Makes the figures of a bench from its samples, and prints, writes and draws them.

Usage: report.py [--json FILE] [--markdown FILE] [--svg FOLDER] SAMPLES
       report.py --figures FILE [--markdown FILE] [--svg FOLDER]

SAMPLES is one JSON object with what measure.py, scale.py and herd.py printed; a part that was not measured is not there. --figures
takes what --json has written instead. --markdown writes the README's section, --svg its pictures.
"""
import argparse
import json
import os

import draw
import figures
import words


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="?")
    for name in ("figures", "json", "markdown", "svg"):
        parser.add_argument(f"--{name}", default="")
    return parser.parse_args()


def main():
    options = parse()
    with open(options.figures or options.samples, encoding="utf-8") as file:
        report = json.load(file)
    if not options.figures:
        report = figures.make(report)
    print(words.text(report), end="")
    if options.json:
        write(options.json, json.dumps(report, indent=2) + "\n")
    if options.markdown:
        write(options.markdown, words.markdown(report))
    if options.svg:
        os.makedirs(options.svg, exist_ok=True)
        for name, picture in draw.pictures(report).items():
            write(f"{options.svg}/{name}.svg", picture)


main()
