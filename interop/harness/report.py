"""What came of a run: a line per case while it runs, two Markdown tables a server at the end."""
import collections
import os
import threading

Row = collections.namedtuple("Row", "server case outcome seconds remark")

PASS, FAIL, UNSUPPORTED, LATER = "pass", "FAIL", "unsupported", "later"
WORST_FIRST = [FAIL, LATER, PASS, UNSUPPORTED]
WORDS = {PASS: "yes", UNSUPPORTED: "-"}

COLUMNS = {  # of the short table: heading, the peers that it stands for
    "Java 5.3.3": {"java5", "java5b"},
    "Java 4.9.8": {"java4", "java4b"},
    "Go": {"go"},
    "Node.js": {"node"},
    "C++": {"cpp"},
    "mqadmin": {"mqadmin"},
    "rocketwire": {"own", "ownb"},
}


class Report:
    def __init__(self, peers):
        self.titles = {name: peer.title for name, peer in peers.items()}
        self.rows, self.lock = [], threading.Lock()

    def who(self, case):
        return " ".join(self.titles.get(word, word) for word in case.who.split())

    def add(self, server, case, outcome, seconds, remark):
        with self.lock:
            self.rows.append(Row(server, case, outcome, seconds, remark))
            print("%-11s %5.1fs  %s: %s, %s%s" % (outcome, seconds, server.title, case.title, self.who(case), remark and "  -- " + remark),
                  flush=True)

    def count(self, outcome):
        return sum(row.outcome == outcome for row in self.rows)

    def write(self, path):
        """For each server what works with which client, and then every case."""
        out = ["# Interoperability", ""]
        for server in dict.fromkeys(row.server.title for row in self.rows):
            rows = sorted((row for row in self.rows if row.server.title == server), key=lambda row: row.case.number)
            out += ["## Server: " + server, "", *short_table(rows), "", "### Every case", "", "| what | who | result | remark |", "|--|--|--|--|"]
            for row in rows:
                remark = row.remark.replace("|", "\\|").replace("\n", " ")[:300]
                out.append("| %s: %s | %s | %s | %s |" % (row.case.section, row.case.title, self.who(row.case), row.outcome, remark))
            out.append("")
        out += [self.summary(), ""]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(out))

    def summary(self):
        extra = "".join(", %d %s" % (n, name) for name, n in
                        [("for later", self.count(LATER)), ("unsupported for the reason that stands beside them", self.count(UNSUPPORTED))] if n)
        return "%d passed, %d failed%s" % (self.count(PASS), self.count(FAIL), extra)


def short_table(rows):
    """A line a feature, a column a client; a cell is the worst of its cases, and empty where there is none."""
    cells = {}
    for row in rows:
        feature = row.case.section if row.case.section == "Administration" else row.case.title
        for heading, names in COLUMNS.items():
            if names & set(row.case.who.split()):
                cells.setdefault(feature, {}).setdefault(heading, []).append(row.outcome)
    used = [heading for heading in COLUMNS if any(heading in line for line in cells.values())]
    yield "| | %s |" % " | ".join(used)
    yield "|--" * (len(used) + 1) + "|"
    for feature, line in cells.items():
        worst = [min(line[heading], key=WORST_FIRST.index) if heading in line else "" for heading in used]
        yield "| %s | %s |" % (feature, " | ".join(WORDS.get(outcome, outcome) for outcome in worst))
