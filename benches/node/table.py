"""The table of a comparison: rows of Markdown with ours, each of Apache's, the ratio to the better of them, and the bar."""
from statistics import median


class AtLeast:
    """A rate so many times the best of Apache's."""

    def __init__(self, times):
        self.text, self.times = ">= %gx" % times, times

    def met(self, ours, ratio):
        return ratio >= self.times


class Share:
    """A cost of one part in so many of the lowest of Apache's."""

    def __init__(self, parts):
        self.text, self.parts = "<= 1/%g" % parts, parts

    def met(self, ours, ratio):
        return ratio >= self.parts


class Most:
    """A cost in figures."""

    def __init__(self, limit, text):
        self.text, self.limit = "<= " + text, limit

    def met(self, ours, ratio):
        return ours <= self.limit


def line(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def head(title, servers):
    line(title, *[server.name for server in servers], "ratio to the better", "bar", "met")
    line(*["--"] * (len(servers) + 4))


def word(met):
    """Of a bar: met, not met, or none."""
    return "" if met is None else "yes" if met else "**no**"


def row(what, cells, ratio="", bar="", met=None):
    line(what, *cells, ratio, bar, word(met))


def verdict(bar, ours, ratio):
    return (bar.text, bar.met(ours, ratio)) if bar else ("", None)


def per_server(samples, of):
    """Medians over the rounds, one for each server."""
    return [median(of(sample) for sample in column) for column in zip(*samples)]


def rates(what, samples, times=True, bar=None):
    """The more the better: `samples` has a list for each round, with a sample of each server, ours first."""
    def cell(column):
        def of(field):
            return median(sample[field] for sample in column)
        between = ["{:,.0f} / {:,.0f} us".format(of("p50_us"), of("p99_us"))] if times else []
        return "; ".join(["{:,.0f}/s".format(of("rps")), *between, "{:.1f} + {:.1f} us".format(of("server_us"), of("cpu_us"))])

    ratio = median(ours["rps"] / max(apache["rps"] for apache in others) for ours, *others in samples)
    row(what, map(cell, zip(*samples)), "%.1fx" % ratio, *verdict(bar, None, ratio))


def costs(what, samples, of, text, bar=None):
    """The less the better: `of` picks the cost from a sample, `text` is how it is written."""
    ratio = median(min(map(of, others)) / max(of(ours), 1e-9) for ours, *others in samples)
    figures = per_server(samples, of)
    row(what, map(text.format, figures), "1/%.1f" % ratio, *verdict(bar, figures[0], ratio))
