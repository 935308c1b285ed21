"""What came of a run: a line per case while it runs, a Markdown table at the end."""
import collections
import os
import threading

Row = collections.namedtuple("Row", "server case outcome seconds remark")

PASS, FAIL, UNSUPPORTED, LATER = "pass", "FAIL", "unsupported", "later"


class Report:
    def __init__(self, peers):
        self.titles = {name: peer.title for name, peer in peers.items()}
        self.titles["mqadmin"] = "mqadmin"
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
        """One table a server, its cases in their own order, with the clients as columns where they fit."""
        out = ["# Interoperability", ""]
        for server in dict.fromkeys(row.server.title for row in self.rows):
            rows = [row for row in self.rows if row.server.title == server]
            out += ["## Server: " + server, "", "| what | who | result | remark |", "|--|--|--|--|"]
            for row in sorted(rows, key=lambda row: row.case.number):
                out.append("| %s: %s | %s | %s | %s |" % (row.case.section, row.case.title, self.who(row.case), row.outcome,
                                                          row.remark.replace("|", "\\|").replace("\n", " ")[:300]))
            out.append("")
        out += [self.summary(), ""]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(out))

    def summary(self):
        extra = "".join(", %d %s" % (n, name) for name, n in
                        [("for later", self.count(LATER)), ("that its peer cannot do", self.count(UNSUPPORTED))] if n)
        return "%d passed, %d failed%s" % (self.count(PASS), self.count(FAIL), extra)
