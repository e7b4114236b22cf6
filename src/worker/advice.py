"""What to do about an exception of the import: one line each, or none."""
import os
import sys

VENVS = (".venv", "venv", "env", "virtualenv")


def advise(error, root, virtualenv, target):
    rules = (missing, settings, denied, tabs, binary)
    lines = []
    for rule in rules:
        lines += rule(error, root, virtualenv, target)
    return "\n".join(lines)


def missing(error, root, virtualenv, target):
    name = getattr(error, "name", None)
    if not isinstance(error, ImportError) or type(error).__name__ != "ModuleNotFoundError" or not name:
        return []
    top = name.split(".")[0]
    used = "it was looked for with %s (Python %d.%d) in: %s" % (
        (sys.executable,) + sys.version_info[:2] + (", ".join(entry or "." for entry in sys.path),)
    )
    return [remedy(top, name, root, virtualenv, target), used]


def remedy(top, name, root, virtualenv, target):
    if virtualenv:
        of = version_of(virtualenv)
        runs = "%d.%d" % sys.version_info[:2]
        if of and of != runs:
            return "the virtual environment %s was made by Python %s, and %s runs: make it anew, or set `python`" % (
                virtualenv, of, runs)
    else:
        for venv in environments(root):
            if any(holds(site, top) for site in sites(venv)):
                return "the virtual environment %s has `%s`: add the line `virtualenv = %s`" % (venv, top, venv)
    if holds(root, top) and root not in [os.path.abspath(entry) for entry in sys.path]:
        return "%s has `%s`: add the line `pythonpath = %s`" % (root, top, root)
    for entry in sorted(children(root)):
        if holds(os.path.join(root, entry), top) and entry not in VENVS:
            path = os.path.join(root, entry)
            return "%s has `%s`: add the line `pythonpath = %s`" % (path, top, path)
    if target and target.split(".")[0] == top:
        if name != top and holds(root, top):
            return "`module = %s`: there is `%s` in %s, but no `%s`" % (target, top, root, name)
        return "`module = %s`: there is neither %s.py nor a package %s in %s; `chdir` or `pythonpath` is to be where it is" % (
            target, top, top, root)
    if virtualenv:
        return "install it: %s -m pip install %s (what is to be installed may have another name)" % (
            os.path.join(virtualenv, "bin", "python"), top)
    return "no virtual environment is configured: add `virtualenv = PATH`, or install what has `%s` for %s" % (
        top, sys.executable)


def environments(root):
    found = []
    for base in (root, os.path.dirname(root)):
        for name in VENVS:
            path = os.path.join(base, name)
            if os.path.isdir(os.path.join(path, "bin")) and path not in found:
                found.append(path)
    return found


def sites(venv):
    lib = os.path.join(venv, "lib")
    return [os.path.join(lib, name, "site-packages") for name in children(lib) if name.startswith("python3")]


def version_of(venv):
    names = [name[len("python"):] for name in children(os.path.join(venv, "lib")) if name.startswith("python3")]
    return names[0] if len(names) == 1 else None


def holds(directory, name):
    path = os.path.join(directory, name)
    return os.path.isfile(path + ".py") or os.path.isdir(path)


def children(directory):
    try:
        return os.listdir(directory)
    except OSError:
        return []


def settings(error, root, virtualenv, target):
    text = str(error)
    if type(error).__name__ != "ImproperlyConfigured" or "DJANGO_SETTINGS_MODULE" not in text:
        return []
    names = [name for name in sorted(children(root)) if os.path.isfile(os.path.join(root, name, "settings.py"))]
    guess = names[0] + ".settings" if names else "PROJECT.settings"
    return ["add the line `env = DJANGO_SETTINGS_MODULE=%s`" % guess]


def denied(error, root, virtualenv, target):
    if isinstance(error, PermissionError) and error.filename and not isinstance(error.filename, int):
        return ["@" + os.path.abspath(os.fsdecode(error.filename))]
    return []


def tabs(error, root, virtualenv, target):
    if isinstance(error, TabError):
        return ["the indentation mixes tabs and spaces: expand -i -t 8 %s shows how Python 2 read it" % error.filename]
    if isinstance(error, SyntaxError) and "print" in str(error):
        return ["this looks like code for Python 2; %s is Python %d.%d" % ((sys.executable,) + sys.version_info[:2])]
    return []


def binary(error, root, virtualenv, target):
    text = str(error)
    if isinstance(error, ImportError) and ("undefined symbol" in text or "wrong ELF class" in text):
        return ["the module was built for another Python or another machine: install it anew with %s" % sys.executable]
    if isinstance(error, ImportError) and "cannot open shared object" in text:
        return ["the module needs a library of the system: apt-file search FILE tells the package that has it"]
    return []


def callables(module):
    """Names in a module that could be meant."""
    names = []
    for name, value in sorted(vars(module).items()):
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            continue
        own = getattr(value, "__module__", None) == module.__name__
        if own or hasattr(value, "wsgi_app") or hasattr(value, "get_response"):
            names.append(name)
    return ", ".join(names[:10])
