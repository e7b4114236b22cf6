"""The tables in docs/benchmarks.md, between two marks; ratios only, as rates are those of one machine."""
import os
import re
import subprocess

import needs
import peers
import table
import tcp

PATH = os.path.join(needs.ROOT, "docs", "benchmarks.md")
BEGIN, END = "<!-- benches/compare all writes from here -->", "<!-- to here -->"


def write(results, failed, rounds):
    with open(PATH) as file:
        before, _, rest = file.read().partition(BEGIN)
    after = rest.partition(END)[2]
    run = f"{rounds} rounds, or fewer where `benches/all.py` says so, on {os.cpu_count()} processors and with TCP's {tcp.congestion_control()}, with {versions()}."
    missing = [f"Could not be measured: {'; '.join(failed)}."] if failed else []
    parts = [BEGIN, run, *missing, *targets(results), "![Every server relative to rwsgi](benchmarks.svg)", *beside(results), END]
    with open(PATH, "w") as file:
        file.write(before + "\n\n".join(parts) + after)


def targets(results):
    lines = ["| work | rwsgi has to be | it is | rounds | met |", "|---|---|---:|---:|---|"]
    for result in results:
        for verdict in result.verdicts():
            it_is, spread = "-", "-"
            if verdict.ratio is not None:
                it_is, spread = f"{verdict.ratio:.2f}", f"{verdict.low:.2f} – {verdict.high:.2f}"
            met = {None: "not measured", True: "yes", False: "**no**"}[verdict.met]
            lines.append(f"| {result.title} | {result.sentence(verdict)} | {it_is} | {spread} | {met} |")
    return ["## Targets", "\n".join(lines)]


def beside(results):
    """Every server relative to rwsgi."""
    shown = [result for result in results if compares(result)]
    names = columns(shown)
    lines = ["| relative to rwsgi | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for result in shown:
        by_name = by_column(result)
        title = result.title + (", less is better" if result.less_is_better else "")
        lines.append(f"| {title} | " + " | ".join(table.ratio(by_name.get(name)) for name in names) + " |")
    return ["## Every server", "\n".join(lines)]


def compares(result):
    return result.own in result.figures and any(column(name) in COLUMNS for name in result.peers())


def by_column(result):
    """Ratios to rwsgi of the servers that have a column."""
    ratios = {column(name): result.ratio(name, result.own) for name in [*result.peers(), *result.bounds]}
    return {name: ratio for name, ratio in ratios.items() if name in COLUMNS and ratio not in (None, float("inf"))}


def columns(results):
    there = {name for result in results for name in by_column(result)}
    return [name for name in COLUMNS if name in there]


def column(name):
    """gunicorn's threads are in its name, as they are not those of the others."""
    return re.sub(r"^gunicorn( \d+x\d+)?$", "gunicorn gthread", name)


COLUMNS = ["granian", "fastwsgi", "bjoern", "pyruvate", "uWSGI", "uWSGI router", "gunicorn gthread", "gunicorn sync", "cheroot", "waitress", "hyper",
           "constant", "loop"]


def versions():
    listed = subprocess.run([f"{needs.VENV}/bin/pip", "list", "--format", "freeze"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            universal_newlines=True).stdout
    wanted = {name.lower() for name in [*needs.PEERS, "django", "flask"]}
    found = [line.replace("==", " ") for line in listed.splitlines() if line.partition("==")[0].lower() in wanted]
    return ", ".join([*found, *of_distribution()])


def of_distribution():
    """As their packages are called, and the Python of all servers."""
    for command in (["uwsgi-core", "--version"], [needs.program("nginx"), "-v"], [peers.PYTHON, "--version"]):
        if needs.program(command[0]):
            text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True).stdout
            name = os.path.basename(command[0]).replace("python", "Python").replace("uwsgi-core", "uWSGI")
            yield f"{name} {re.search(r'[0-9][-.0-9a-z]*', text).group()}"
