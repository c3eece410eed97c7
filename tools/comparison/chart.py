"""Charts as SVG, of what GitHub and every browser shows."""

import math
from html import escape

COLORS = ("#1f6f8b", "#c8553d", "#6a994e", "#7b5ea7", "#b58900", "#555555", "#c06c9b", "#8a5a2b")
WIDTH, ROW, LABELS, MARGIN = 760, 24, 230, 60
HEIGHT, LEFT, TOP, BOTTOM = 360, 64, 48, 52
# Between the middles of two numbers below an axis, so that both can be read.
GAP = 36


def document(width, height, title, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{escape(title)}">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        + text(16, 26, title, size=16)
        + "".join(body)
        + "</svg>\n"
    )


def text(x, y, words, anchor="start", size=13, color="#222"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}">{escape(words)}</text>\n'
    )


def line(x1, y1, x2, y2, color="#ddd", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width}"/>\n'


def ticks(most):
    """Some five round numbers from 0 to at least `most`."""
    step = 10 ** math.floor(math.log10(most / 4)) if most > 0 else 1
    step = next(step * factor for factor in (1, 2, 5, 10) if step * factor * 5 >= most)
    return [step * number for number in range(max(1, math.ceil(most / step)) + 1)]


def short(value):
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:g}"


def bars(title, unit, rows):
    """`rows` are (name, (least, median, most), highlighted): a bar each, with its spread."""
    marks = ticks(max(most for _, (_, _, most), _ in rows))
    scale = (WIDTH - LABELS - MARGIN) / marks[-1]
    bottom = TOP + ROW * len(rows)
    body = []
    for mark in marks:
        x = LABELS + mark * scale
        body += [line(x, TOP, x, bottom), text(x, bottom + 18, short(mark), "middle")]
    body.append(text(WIDTH - MARGIN, bottom + 36, unit, "end"))
    for number, (name, (least, median, most), highlighted) in enumerate(rows):
        y = TOP + ROW * number
        color = COLORS[0] if highlighted else "#aab4ba"
        body += [
            text(LABELS - 8, y + 16, name, "end"),
            f'<rect x="{LABELS}" y="{y + 4}" width="{median * scale:.1f}" height="{ROW - 8}" fill="{color}"/>\n',
            line(LABELS + least * scale, y + ROW / 2, LABELS + most * scale, y + ROW / 2, "#222", 1.5),
            text(LABELS + most * scale + 6, y + 16, f"{median:.1f}"),
        ]
    return document(WIDTH, bottom + 48, title, body)


def decades(least, most):
    """Powers of ten, from at most the one to at least the other."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def lines(title, x_name, y_name, series, logarithmic=True, steep=False):
    """`series` are (name, [(x, (least, median, most))]); x on a logarithmic scale, unless told otherwise, where 0 is a
    decade before the next; y on one if it is `steep`."""
    points = [point for _, values in series for point in values]
    nought = min((x for x, _ in points if x > 0), default=1) / 10
    place = (lambda x: math.log10(max(x, nought))) if logarithmic else float
    first, last = (end(place(x) for x, _ in points) for end in (min, max))
    top = max(most for _, (_, _, most) in points)
    marks = decades(max(1e-3, min(low for _, (low, _, _) in points)), top) if steep else ticks(top)
    height = (lambda y: math.log10(max(y, marks[0]) / marks[0])) if steep else float
    right, bottom = WIDTH - 220, HEIGHT - BOTTOM

    def across(x):
        return LEFT + (place(x) - first) / ((last - first) or 1) * (right - LEFT)

    def up(y):
        return bottom - height(y) / height(marks[-1]) * (bottom - TOP)

    body = []
    for mark in marks:
        body += [line(LEFT, up(mark), right, up(mark)), text(LEFT - 8, up(mark) + 4, short(mark), "end")]
    written = -math.inf
    for x in sorted({x for x, _ in points}):
        if across(x) - written >= GAP:
            body.append(text(across(x), bottom + 18, short(x), "middle"))
            written = across(x)
    body += [text((LEFT + right) / 2, HEIGHT - 12, x_name, "middle"), text(LEFT, TOP - 6, y_name, size=12)]
    for number, (name, values) in enumerate(series):
        color = COLORS[number % len(COLORS)]
        path = " ".join(f"{across(x):.1f},{up(median):.1f}" for x, (_, median, _) in values)
        body.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>\n')
        for x, (least, median, most) in values:
            body.append(line(across(x), up(least), across(x), up(most), color, 1.5))
            body.append(f'<circle cx="{across(x):.1f}" cy="{up(median):.1f}" r="3" fill="{color}"/>\n')
        y = TOP + 14 + 20 * number
        body += [line(right + 16, y, right + 36, y, color, 3), text(right + 42, y + 4, name)]
    return document(WIDTH, HEIGHT, title, body)
