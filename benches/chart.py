"""docs/benchmarks.svg: a line for each row, a dot for each server, on a scale of powers of two, rwsgi at 1."""
import math
import os
from html import escape

import needs
import page

PATH = os.path.join(needs.ROOT, "docs", "benchmarks.svg")

COLOURS = dict(zip(page.COLUMNS, [
    "#e6194b", "#f58231", "#3cb44b", "#911eb4", "#0072b2", "#56b4e9", "#808000", "#bcbd22", "#a65628", "#f781bf",
    # What is no server of Python.
    "#000000", "#7f7f7f", "#b0b0b0"]))
LEFT, WIDTH, LINE, TOP, RADIUS = 520, 620, 20, 86, 5
# Powers of two at both ends; what lies beyond is drawn at the end.
LOW, HIGH = -6, 2


def write(results):
    rows = [result for result in results if page.compares(result)]
    bottom = TOP + LINE * len(rows)
    parts = [*scale(bottom), *legend(page.columns(rows))]
    for number, result in enumerate(rows):
        parts += row(result, TOP + LINE * number + LINE / 2)
    size = LEFT + WIDTH + 30, bottom + 34
    with open(PATH, "w") as file:
        file.write("\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif" font-size="12">',
            "<title>WSGI servers relative to rwsgi</title>",
            f'<rect width="{size[0]}" height="{size[1]}" fill="white"/>', *parts, "</svg>", ""]))


def scale(bottom):
    for power in range(LOW, HIGH + 1):
        x, label = place(2.0 ** power), f"{2 ** power}" if power >= 0 else f"1/{2 ** -power}"
        colour, width = ("black", 2) if power == 0 else ("#ddd", 1)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}" stroke-width="{width}"/>'
        yield text(x, bottom + 14, label, "middle")
    yield text(place(1), bottom + 29, "rwsgi = 1; to the right is better", "middle")


def legend(names):
    for number, name in enumerate(names):
        x, y = 20 + number % 5 * 200, 18 + number // 5 * 20
        yield dot(x, y, name)
        yield text(x + 10, y + 4, name, "start")


def row(result, y):
    yield text(LEFT - 12, y + 4, result.title, "end")
    for name, ratio in page.by_column(result).items():
        better = (1 / ratio if ratio else 2.0 ** HIGH) if result.less_is_better else ratio
        yield dot(place(better), y, name, f"{name}: {better:.2f}")


def place(ratio):
    power = min(max(math.log2(ratio) if ratio > 0 else LOW, LOW), HIGH)
    return LEFT + (power - LOW) / (HIGH - LOW) * WIDTH


def dot(x, y, name, title=None):
    tip = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{COLOURS[name]}" fill-opacity="0.85">{tip}</circle>'


def text(x, y, words, anchor):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
