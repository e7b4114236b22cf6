"""What a benchmark needs: the release build, the peers from PyPI, and programs of the distribution."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
APPS = os.path.join(HERE, "apps")
VENV = os.path.join(ROOT, "target", "bench")
# What is measured; `compare --rwsgi` sets it.
RWSGI = os.path.join(ROOT, "target", "release", "rwsgi")

PEERS = ["granian", "gunicorn", "fastwsgi", "Django>=4.2,<6"]
PACKAGES = {"wrk": "wrk", "nginx": "nginx-light", "uwsgi-core": "uwsgi-core", "uwsgi-python3": "uwsgi-plugin-python3",
            "valgrind": "valgrind", "strace": "strace"}
UWSGI_PLUGIN = "/usr/lib/uwsgi/plugins/python3_plugin.so"


def program(name):
    """The path of a program, nginx's too, which is not for users; None if it is missing."""
    if name == "uwsgi-python3":
        return UWSGI_PLUGIN if os.path.exists(UWSGI_PLUGIN) else None
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def uwsgi_is_there():
    return bool(program("uwsgi-core") and program("uwsgi-python3"))


def check(*programs):
    """Ends the run and names what is missing; else installs the peers."""
    check_programs(*programs)
    if not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("processors 0 and 1 are needed, one for the servers and one for the load")
    install_peers()


def check_programs(*programs):
    """The same without peers."""
    if not os.path.exists(RWSGI):
        sys.exit(f"{RWSGI} is missing: cargo build --release --workspace")
    missing = [PACKAGES[name] for name in programs if not program(name)]
    if missing:
        sys.exit("missing: apt install " + " ".join(missing))


def install_peers():
    ready = os.path.join(VENV, "ready")
    wanted = "\n".join(PEERS) + "\n"
    if os.path.exists(ready):
        with open(ready) as file:
            if file.read() == wanted:
                return
    # The system's own interpreter, which uwsgi-plugin-python3 embeds, too.
    subprocess.run(["/usr/bin/python3", "-m", "venv", VENV], check=True)
    subprocess.run([f"{VENV}/bin/pip", "install", "--quiet", *PEERS], check=True)
    with open(ready, "w") as file:
        file.write(wanted)
