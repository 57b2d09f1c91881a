"""A bench's figures as pictures: SVG that follows the reader's light or dark screen."""
import math

import words

STYLE = """<style>
text { font: 13px system-ui, Helvetica, Arial, sans-serif; fill: #1f2933 }
.title { font-weight: bold; font-size: 15px } .own { font-weight: bold } .faint { fill: #52606d; font-size: 12px }
.end { text-anchor: end } .middle { text-anchor: middle }
.paper { fill: #ffffff } .line { stroke: #c4cad1; fill: none } .whisker { stroke: #1f2933; fill: none }
.c0 { fill: #2f6fb0 } .c1 { fill: #b3541e } .c2 { fill: #2e8b57 } .c3 { fill: #8a6d1d } .c4 { fill: #7a4fa3 }
polyline { fill: none !important; stroke-width: 2 }
.s0 { stroke: #2f6fb0 } .s1 { stroke: #b3541e } .s2 { stroke: #2e8b57 } .s3 { stroke: #8a6d1d }
@media (prefers-color-scheme: dark) {
text { fill: #e4e7eb } .faint { fill: #9aa5b1 } .paper { fill: #10161d } .line { stroke: #3e4c59 } .whisker { stroke: #e4e7eb }
.c0 { fill: #6ea8e5 } .c1 { fill: #e08b55 } .c2 { fill: #6cc596 } .c3 { fill: #d4b455 } .c4 { fill: #b794db }
.s0 { stroke: #6ea8e5 } .s1 { stroke: #e08b55 } .s2 { stroke: #6cc596 } .s3 { stroke: #d4b455 }
}
</style>"""


def escape(said):
    return said.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


class Picture:
    def __init__(self, width, height, label):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
                      f'role="img" aria-label="{escape(label)}">', STYLE, f'<rect class="paper" width="{width}" height="{height}"/>']

    def text(self, x, y, said, kind=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(said)}</text>')

    def bar(self, x, y, width, height, kind):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" class="{kind}"/>')

    def line(self, x1, y1, x2, y2, kind="line"):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def curve(self, points, kind):
        self.parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}"/>')

    def legend(self, x, y, entries):
        for kind, said in entries:
            self.bar(x, y - 10, 12, 12, kind)
            self.text(x + 18, y, said, "faint")
            x += 30 + 7 * len(said)

    def end(self):
        return "\n".join(self.parts + ["</svg>"]) + "\n"


def steps(most):
    """Round numbers for an axis that ends at or above the largest value."""
    step = 10 ** math.floor(math.log10(most))
    step = next(step * times for times in (0.2, 0.5, 1, 2) if most / (step * times) <= 6)
    return [step * count for count in range(math.ceil(most / step) + 1)]


def calls(report):
    """ADD and DEL, a row for each peer: the median's bar, and a line to the 95th percentile."""
    rows = [(name, verbs) for name, verbs in report["calls"].items() if "ADD" in verbs]
    axis = steps(max(call["p95_ms"] for _, verbs in rows for verb, call in verbs.items() if verb != "CHECK"))
    left, top, pitch, wide = 310, 66, 44, 500
    bottom = top + pitch * len(rows)
    picture = Picture(880, bottom + 40, "Milliseconds of an ADD and a DEL by lamina and by what it replaces")
    picture.text(20, 28, "Milliseconds of one ADD and one DEL", "title")
    picture.legend(20, 50, [("c0", "ADD, median"), ("c1", "DEL, median")])
    picture.text(left, 50, "thin line: to the 95th percentile", "faint")
    scale = wide / axis[-1]
    for value in axis:
        x = left + value * scale
        picture.line(x, top, x, bottom)
        picture.text(x, bottom + 18, f"{value:g}", "faint middle")
    for row, (name, verbs) in enumerate(rows):
        y = top + row * pitch
        picture.text(left - 10, y + 26, words.NAMES[name], "end own" if name.startswith("lamina") else "end")
        for place, verb in enumerate(("ADD", "DEL")):
            call, at = verbs[verb], y + 6 + place * 17
            end = left + call["median_ms"] * scale
            last = left + call["p95_ms"] * scale
            picture.bar(left, at, end - left, 14, f"c{place}")
            picture.line(end, at + 7, last, at + 7, "whisker")
            picture.text(max(end, last) + 6, at + 12, f"{call['median_ms']:.1f}", "faint")
    return picture.end()


def bursts(picture, report, left, top, wide, high):
    """Milliseconds a pod, by how many come at once."""
    peers = [name for name in report["burst"] if name != "true"]
    counts = list(report["burst"][peers[0]])
    worth = {name: [report["burst"][name][count]["ADD"] / int(count) * 1e3 for count in counts] for name in peers}
    axis = steps(max(max(values) for values in worth.values()))
    frame(picture, axis, left, top, wide, high)
    group = wide / len(counts)
    for place, count in enumerate(counts):
        x = left + place * group
        picture.text(x + group / 2, top + high + 18, f"{count} at once", "faint middle")
        for at, name in enumerate(peers):
            height = worth[name][place] / axis[-1] * high
            picture.bar(x + group * 0.1 + at * group * 0.2, top + high - height, group * 0.18, height, f"c{at}")
    for at, name in enumerate(peers):
        picture.legend(left, top + high + 42 + 20 * at, [(f"c{at}", words.NAMES[name])])


def full(picture, report, left, top, wide, high):
    """Milliseconds of an ADD, by how many addresses are in use."""
    curves = [(f"{kind} address, {store}", [(int(size), kinds[kind]["ADD"]) for size, kinds in sizes.items()])
              for store, sizes in report["full"].items() for kind in ("fixed", "dynamic")]
    axis = steps(max(value for _, points in curves for _, value in points))
    frame(picture, axis, left, top, wide, high)
    sizes = [size for size, _ in curves[0][1]]
    low, most = math.log(sizes[0]), math.log(sizes[-1])
    at = {size: left + 20 + (math.log(size) - low) / (most - low) * (wide - 40) for size in sizes}
    for size in sizes:
        picture.text(at[size], top + high + 18, f"{size:,} in use", "faint middle")
    for number, (name, points) in enumerate(curves):
        picture.curve([(at[size], top + high - value / axis[-1] * high) for size, value in points], f"s{number}")
        picture.legend(left, top + high + 42 + 20 * number, [(f"c{number}", name)])


def frame(picture, axis, left, top, wide, high):
    for value in axis:
        y = top + high - value / axis[-1] * high
        picture.line(left, y, left + wide, y)
        picture.text(left - 6, y + 4, f"{value:g}", "faint end")


def scale(report):
    picture = Picture(880, 400, "Milliseconds a pod when several come at once, and of a claim when many addresses are in use")
    picture.text(20, 28, "ADD of the whole pod: milliseconds a pod", "title")
    bursts(picture, report, 60, 50, 340, 230)
    picture.text(470, 28, "ADD of kube-ipam alone: milliseconds", "title")
    full(picture, report, 500, 50, 330, 230)
    return picture.end()


def pictures(report):
    """Those of what was measured, by name."""
    drawn = {"calls": calls(report)} if "calls" in report else {}
    if "burst" in report and "full" in report:
        drawn["scale"] = scale(report)
    return drawn
