"""Times taken in turns, and the table of what they say."""

import statistics
import time


def in_turns(rounds, sides, cpu_seconds, between=lambda: None):
    """Runs each side once a round, another one first each time: seconds by side, and processor seconds of ours."""
    times = {side: [] for side in sides}
    times["fjord cpu"] = []
    names = list(sides)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            between()
            used, began = cpu_seconds(), time.perf_counter()
            sides[name]()
            times[name].append(time.perf_counter() - began)
            if name == "fjord":
                times["fjord cpu"].append(cpu_seconds() - used)
    shown = {side: [f"{seconds:.3f}" for seconds in all_of_them] for side, all_of_them in times.items()}
    print(*(f"  {side}: {', '.join(values)}" for side, values in shown.items()), sep="\n", flush=True)
    return times


class Figures:
    def __init__(self):
        self.lines = []
        self.held = True

    def table(self):
        head = "| measurement | Fjord s | beside | that s | ratio | bar |\n|---|---:|---|---:|---:|---:|"
        return "\n".join([head, *self.lines])

    def _add(self, what, ours, beside, theirs, ratio, bar, holds):
        self.held &= holds
        self.lines.append(f"| {what} | {ours} | {beside} | {theirs} | {ratio} | {bar}{'' if holds else ': **missed**'} |")

    def _medians(self, times, side):
        ours, theirs = statistics.median(times["fjord"]), statistics.median(times[side])
        return ours, theirs

    def speed(self, what, times, side, bar, beside):
        """At least `bar` times the speed of the other side."""
        ours, theirs = self._medians(times, side)
        ratio = theirs / ours
        self._add(what, f"{ours:.3f}", beside, f"{theirs:.3f}", f"{ratio:.2f} × the speed", f"≥ {bar} ×", ratio >= bar)

    def time(self, what, times, side, bar, beside):
        """At most `bar` times the time of the other side."""
        ours, theirs = self._medians(times, side)
        ratio = ours / theirs
        self._add(what, f"{ours:.3f}", beside, f"{theirs:.3f}", f"{ratio:.3f} × the time", f"≤ {bar} ×", ratio <= bar)

    def only(self, what, times):
        self._add(what, f"{statistics.median(times['fjord']):.3f}", "–", "", "", "none", True)

    def count(self, what, found, most):
        self._add(what, "", "", f"{found}", "", f"≤ {most:.0f}", found <= most)
