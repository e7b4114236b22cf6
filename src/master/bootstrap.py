import sys

if sys.version_info < (3, 6):
    sys.stderr.write(
        "rwsgi: %s is Python %d.%d, but 3.6 or newer is needed; set python = in the configuration\n"
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )
    sys.exit(78)
# Its objects are laid out otherwise, which it would tell as `SystemError: uninitialized object`.
if "t" in sys.abiflags:
    sys.stderr.write(
        "rwsgi: %s is a free-threaded Python, without the GIL that the extension needs; set python = or virtualenv = "
        "to the usual Python %d.%d\n" % (sys.executable, sys.version_info[0], sys.version_info[1])
    )
    sys.exit(78)
if sys.version_info < (3, 7):
    # 3.6 creates the GIL with the first thread, and the extension needs it before.
    import threading

    first = threading.Thread(target=int)
    first.start()
    first.join()
import importlib.machinery
import importlib.util

path = sys.argv[1]
sys.argv = ["rwsgi"]
loader = importlib.machinery.ExtensionFileLoader("_rwsgi", path)
spec = importlib.util.spec_from_file_location("_rwsgi", path, loader=loader)
try:
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
except ImportError as error:
    sys.stderr.write("rwsgi: %s cannot load the extension: %s\n" % (sys.executable, error))
    sys.exit(78)
sys.modules["_rwsgi"] = module
sys.exit(module.main())
