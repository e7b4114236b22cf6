"""What a benchmark needs: the release build, the peers from PyPI, and programs of the distribution."""
import functools
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

FRAMEWORKS = ["Django>=4.2,<6", "Flask"]
PEERS = ["granian", "gunicorn", "fastwsgi", "bjoern", "waitress", "cheroot", "pyruvate"]
# bjoern is compiled; the others have wheels.
BUILD = "gcc python3-dev libev-dev"
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client", "nginx": "nginx-light", "uwsgi-core": "uwsgi-core", "uwsgi-python3": "uwsgi-plugin-python3",
            "valgrind": "valgrind", "strace": "strace", "objdump": "binutils"}
UWSGI_PLUGIN = "/usr/lib/uwsgi/plugins/python3_plugin.so"


def program(name):
    """The path of a program, nginx's too, which is not for users; None if it is missing."""
    if name == "uwsgi-python3":
        return UWSGI_PLUGIN if os.path.exists(UWSGI_PLUGIN) else None
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


@functools.lru_cache(None)
def uwsgi_is_there():
    """Says so once if it is not."""
    there = bool(program("uwsgi-core") and program("uwsgi-python3"))
    if not there:
        print("uWSGI is not measured: apt install uwsgi-core uwsgi-plugin-python3", file=sys.stderr)
    return there


def is_installed(peer):
    return os.path.exists(os.path.join(VENV, "with", peer))


def check(*programs):
    """Ends the run and names what is missing; else installs the peers."""
    check_programs(*programs)
    if not {0, 1} <= os.sched_getaffinity(0):
        sys.exit("processors 0 and 1 are needed, one for the servers and one for the load")
    install()


def check_programs(*programs):
    """The same without peers."""
    if not os.path.exists(RWSGI):
        sys.exit(f"{RWSGI} is missing: cargo build --release --workspace")
    missing = [PACKAGES[name] for name in programs if not program(name)]
    if missing:
        sys.exit("missing: apt install " + " ".join(missing))


@functools.lru_cache(None)
def install():
    """What cannot be installed is named in each run, and not measured."""
    done = os.path.join(VENV, "with")
    if not os.path.exists(done):
        if os.path.islink(VENV):
            # `--clear` would empty somebody else's.
            sys.exit(f"{VENV} is a link, and what it leads to has other peers: remove the link")
        # The system's own interpreter, which uwsgi-plugin-python3 embeds, too.
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", VENV], check=True)
        pip(*FRAMEWORKS, check=True)
        os.mkdir(done)
    for peer in PEERS:
        if is_installed(peer):
            continue
        if pip(peer).returncode == 0:
            open(os.path.join(done, peer), "w").close()
        else:
            print(f"{peer} is not measured: it cannot be installed here; to build it takes {BUILD}", file=sys.stderr)


def pip(*packages, check=False):
    return subprocess.run([f"{VENV}/bin/pip", "install", "--quiet", *packages], check=check)


@functools.lru_cache(None)
def bounds():
    """The directory of the servers without Python, built; None, and told why, where they cannot be."""
    directory = os.path.join(ROOT, "target", "bench-bounds")
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", directory]
    try:
        subprocess.run(command, cwd=os.path.join(HERE, "bounds"), check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"what is possible without Python is not measured: {error}", file=sys.stderr)
        return None
    return os.path.join(directory, "release")
