//! The texts of the catalogue: one for each event.

use super::catalog::Text;

const PROGRAM: &str = "man:rwsgi(8)";
const OPTIONS: &str = "man:rwsgi.ini(5)";
const FIELDS: &str = "man:rwsgi.journal-fields(7)";

pub(super) const CONFIG_WARNING: Text = Text {
    subject: "The configuration of @RWSGI_APP@ has an oddity",
    cause: "\
A line of the INI file, an argument or a variable is understood, but is not what it seems to be: an
option without effect, an abbreviated name, or one of uWSGI that rwsgi does not need. The instance works.",
    remedy: "\
The entry names file, line and option. `rwsgi --check FILE` lists all such places at once, and says
what to write instead.",
    manual: OPTIONS,
};

pub(super) const CONFIG_ERROR: Text = Text {
    subject: "The configuration of @RWSGI_APP@ is wrong",
    cause: "\
An option is unknown or has a value that is not possible, or options contradict each other. Nothing is
guessed: at a start the instance does not start, at a reload the old configuration goes on serving.",
    remedy: "\
Correct the place that the entry names. `rwsgi --check FILE` shows whether that was all, and serves
nothing; then start or reload. systemd does not try such a start again by itself.",
    manual: OPTIONS,
};

pub(super) const STARTING: Text = Text {
    subject: "@RWSGI_APP@ is starting",
    cause: "The master has read the configuration. It opens its listeners and imports the application.",
    remedy: "\
Nothing. `ready` or `failed` follows; while the import goes on, systemd is asked for more time.",
    manual: PROGRAM,
};

pub(super) const LISTENING: Text = Text {
    subject: "@RWSGI_APP@ listens",
    cause: "\
A socket is open, either bound by the master or handed over by systemd. Connections wait in its
queue until the workers serve.",
    remedy: "Nothing.",
    manual: OPTIONS,
};

pub(super) const IMPORTED: Text = Text {
    subject: "@RWSGI_APP@ is imported",
    cause: "The template has imported the application and found its callable. Workers are forked from it.",
    remedy: "Nothing. An import that takes long delays starts and reloads: `python3 -X importtime` tells where.",
    manual: PROGRAM,
};

pub(super) const IMPORT_FAILED: Text = Text {
    subject: "@RWSGI_APP@ cannot be imported",
    cause: "\
Python raised an exception while it imported the application, or there is no such module or callable.
Frequent causes: a wrong `chdir`, `pythonpath` or `virtualenv`; a package that is not installed in that
environment; a variable or a secret that the settings need; files that the user of the instance may not read.",
    remedy: "\
The last line of the traceback is the reason, the fields CODE_FILE and CODE_LINE are the place.
`rwsgi --check FILE` imports again without serving. Run it as the user of the instance.",
    manual: OPTIONS,
};

pub(super) const NOT_FOR_WORKERS: Text = Text {
    subject: "@RWSGI_APP@ has made something at import that workers cannot use",
    cause: "\
Workers are forked from the process that has imported the application. Threads do not live on in them,
and a connection that two processes use at once gets the answers of both.",
    remedy: "\
The entry names what it is. Start it in the worker: at the first request, or with os.register_at_fork().
`lazy-apps = true` imports the application in each worker, for more memory.",
    manual: OPTIONS,
};

pub(super) const READY: Text = Text {
    subject: "@RWSGI_APP@ serves",
    cause: "All workers of the first generation are ready. Only now `systemctl start` returns.",
    remedy: "Nothing.",
    manual: PROGRAM,
};

pub(super) const WORKER_READY: Text = Text {
    subject: "Worker @RWSGI_WORKER@ of @RWSGI_APP@ serves",
    cause: "A worker accepts connections.",
    remedy: "Nothing.",
    manual: PROGRAM,
};

pub(super) const WORKER_EXITED: Text = Text {
    subject: "Worker @RWSGI_WORKER@ of @RWSGI_APP@ has left",
    cause: "\
A worker ended because it was asked to: by a stop, a reload, or a limit such as `max-requests`. With
priority `warning` it had to leave requests unfinished, because `worker-reload-mercy` was over.",
    remedy: "\
Nothing, if no request is named. Otherwise give requests more time (`worker-reload-mercy`) or less
(`harakiri`), so that the shorter of the two is `harakiri`.",
    manual: OPTIONS,
};

pub(super) const WORKER_DIED: Text = Text {
    subject: "Worker @RWSGI_WORKER@ of @RWSGI_APP@ died",
    cause: "\
A worker ended although nobody had asked it to, or was killed because it did not end when asked. The
requests that it ran are lost; the entry names them (REQUEST_METHOD, REQUEST_PATH). SIGKILL
that did not come from the master is most often the kernel that was out of memory; SIGSEGV, SIGABRT and
SIGBUS are faults of an extension module; an exit code is a call of `os._exit` in the application.",
    remedy: "\
A new worker is started by itself. For SIGKILL look at `journalctl -k` and at MemoryMax= of the unit;
`reload-on-rss` renews workers before. For SIGSEGV set `env = PYTHONFAULTHANDLER=1`, and see
coredumpctl(1) with the debug symbols of rwsgi-dbgsym.",
    manual: PROGRAM,
};

pub(super) const WORKER_RESPAWNED: Text = Text {
    subject: "Worker @RWSGI_WORKER@ of @RWSGI_APP@ is replaced",
    cause: "\
A worker has reached a limit that the configuration sets: of requests, age or memory. Its successor is
started first. With priority `error` the successor did not come up; the old worker serves on meanwhile.",
    remedy: "\
Nothing, if it happens as rarely as you meant it to. Replacements every few minutes mean that a limit is
too low, or that the application leaks memory.",
    manual: OPTIONS,
};

pub(super) const CRASH_LOOP: Text = Text {
    subject: "A worker of @RWSGI_APP@ keeps dying",
    cause: "\
Workers die as soon as they start. Each further attempt waits longer than the one before. As long as
other workers serve it goes on; when nobody serves it has an end, with exit code 70.",
    remedy: "\
The entries before each death tell why: see `journalctl -u rwsgi@@RWSGI_APP@ -p err`. Frequent causes
are a shortage of memory, an extension module that does not survive fork(2) (try `lazy-apps = true`),
and code that runs at fork.",
    manual: PROGRAM,
};

pub(super) const RESIZED: Text = Text {
    subject: "@RWSGI_APP@ wants @RWSGI_WORKERS@ workers from now on",
    cause: "The number of workers follows what there is to do, or somebody has set it.",
    remedy: "Nothing. The entry tells why; the options that begin with `cheaper` set the bounds.",
    manual: OPTIONS,
};

pub(super) const TEMPLATE_DIED: Text = Text {
    subject: "@RWSGI_APP@ has no template",
    cause: "\
The process that has imported the application, and from which workers are forked, is gone or cannot be
started. The workers serve on, but none can be replaced meanwhile.",
    remedy: "\
A new template is tried by itself. The entry tells why it is gone: a death by SIGKILL is most often a
shortage of memory, a traceback the import of code that was changed without a reload.",
    manual: PROGRAM,
};

pub(super) const TEMPLATE_BACK: Text = Text {
    subject: "@RWSGI_APP@ has a template again",
    cause: "The application was imported anew. Workers can be replaced.",
    remedy: "Nothing.",
    manual: PROGRAM,
};

pub(super) const OUT_OF_MEMORY: Text = Text {
    subject: "The kernel killed worker @RWSGI_WORKER@ of @RWSGI_APP@ for want of memory",
    cause: "\
The machine, or the control group of the service, was out of memory. The requests that the worker ran
are lost; the entry names them.",
    remedy: "\
A new worker is started by itself. `journalctl -k` tells which limit it was. Have fewer workers
(`processes`), raise MemoryMax= of the unit, or renew workers before they are too large (`reload-on-rss`).",
    manual: OPTIONS,
};

pub(super) const MEMORY_PRESSURE: Text = Text {
    subject: "Memory of @RWSGI_APP@ is short, a worker is replaced",
    cause: "\
Processes wait for memory. Before the kernel kills one, the largest worker is replaced, and loses no request.",
    remedy: "\
Have fewer workers (`processes`), raise MemoryHigh= and MemoryMax= of the unit, or find what grows:
`rwsgi top` shows the memory of each worker.",
    manual: OPTIONS,
};

pub(super) const TOUCHED: Text = Text {
    subject: "A file that @RWSGI_APP@ watches has changed",
    cause: "The entry names the file and the option that watches it. A reload follows.",
    remedy: "Nothing. If a file changes all the time, watch another one.",
    manual: OPTIONS,
};

pub(super) const RELOADING: Text = Text {
    subject: "@RWSGI_APP@ is reloading",
    cause: "Configuration and application are loaded anew beside those that serve.",
    remedy: "Nothing. `reloaded` or `reload_failed` follows.",
    manual: PROGRAM,
};

pub(super) const RELOADED: Text = Text {
    subject: "@RWSGI_APP@ has reloaded",
    cause: "The new code serves. Workers of the old generation finish their requests and leave.",
    remedy: "Nothing.",
    manual: PROGRAM,
};

pub(super) const RELOAD_FAILED: Text = Text {
    subject: "The reload of @RWSGI_APP@ failed, the old code serves on",
    cause: "\
The new configuration is wrong, the new code cannot be imported, its workers did not come up, or a
new version of rwsgi cannot take over. No request was refused. The command that asked for the reload
has failed.",
    remedy: "\
Correct what the entry tells and reload again. Do not restart before: a restart has no old code to
fall back on. `rwsgi --check FILE` tells beforehand whether a reload will go well.",
    manual: PROGRAM,
};

pub(super) const WARM_UP: Text = Text {
    subject: "@RWSGI_APP@ is warmed up",
    cause: "\
After the import, the application has been asked what `warm-up` names. A warning names a request
that it did not answer with 2xx or 3xx.",
    remedy: "\
After a warning, ask for the same path yourself. If it works then, the application may need what there
is only in a worker (`uwsgidecorators.postfork`), or another host: `warm-up = http://HOST/PATH`.",
    manual: OPTIONS,
};

pub(super) const PROBE_FAILED: Text = Text {
    subject: "A new worker of @RWSGI_APP@ does not answer its probe",
    cause: "\
The first worker of the new code answered `reload-probe` with an error, too late, or not at all.
The old code serves on.",
    remedy: "\
See what the application said before: a traceback, a database that is not migrated, a service that
it needs. Then reload again.",
    manual: OPTIONS,
};

pub(super) const HOOK: Text = Text {
    subject: "@RWSGI_APP@ runs a hook",
    cause: "\
An option `hook-…` or `exec-…` of the INI file has its turn: a command, a file that is written, a text.
What a command writes follows as entries of its own.",
    remedy: "Nothing.",
    manual: OPTIONS,
};

pub(super) const HOOK_FAILED: Text = Text {
    subject: "A hook of @RWSGI_APP@ has failed",
    cause: "\
What @RWSGI_HOOK@ says could not be done: a command has exited with a code that is not 0, was killed or was
not found, or has not ended in time (`hook-timeout`); or a file could not be written. Before the
application serves, that ends the start, or the reload, and the old code serves on; `hook-touch`,
`hook-as-user-atexit` and `safeexec:` have no such consequences.",
    remedy: "\
The entry names the place in the INI file and how it has ended; what the command wrote comes before it. Try it
by hand, as the user of the instance and in its directory (`chdir`).",
    manual: OPTIONS,
};

pub(super) const CACHE: Text = Text {
    subject: "A cache of @RWSGI_APP@ begins with something, or refuses it",
    cause: "\
A cache (`cache2`) was filled from its store, or its store cannot be read or written; or the
application uses one that is not configured, or writes what it has no room for.",
    remedy: "\
The message says which cache and what to change. A store that cannot be read is left as it is, and
is not written either, unless there is `store_delete=1`.",
    manual: PROGRAM,
};

pub(super) const TAKEOVER: Text = Text {
    subject: "A new version of rwsgi takes over @RWSGI_APP@",
    cause: "\
Another program lies where the running one was started from, as after an upgrade of the package. The
master executes it in its own process before the reload; workers, sockets and requests stay.",
    remedy: "\
Nothing. When it cannot take over, the reload fails and the entry about that tells why; then
`systemctl restart rwsgi@@RWSGI_APP@` runs it.",
    manual: PROGRAM,
};

pub(super) const STOPPING: Text = Text {
    subject: "@RWSGI_APP@ is stopping",
    cause: "No further connection is accepted; the requests in flight are finished.",
    remedy: "Nothing. `worker-reload-mercy` is how long that may take.",
    manual: OPTIONS,
};

pub(super) const STOPPED: Text = Text {
    subject: "@RWSGI_APP@ has stopped",
    cause: "All workers have left, and the master leaves.",
    remedy: "Nothing.",
    manual: PROGRAM,
};

pub(super) const FAILED: Text = Text {
    subject: "@RWSGI_APP@ cannot start or go on",
    cause: "\
The instance ends with an error. Frequent causes: the application cannot be imported; another process
has the address; the user of the instance lacks a permission; no Python was found.",
    remedy: "\
The entry tells the reason, `systemctl status` the exit code; the manual has the list of codes.
systemd tries again, unless the configuration is wrong (64 and 78).",
    manual: PROGRAM,
};

pub(super) const PAUSED: Text = Text {
    subject: "@RWSGI_APP@ is paused",
    cause: "Somebody has asked for it. Nothing new reaches the application; connections wait in the queue.",
    remedy: "`rwsgi resume @RWSGI_APP@`. Clients wait only as long as their own patience lasts.",
    manual: PROGRAM,
};

pub(super) const RESUMED: Text = Text {
    subject: "@RWSGI_APP@ goes on",
    cause: "A pause is over. What has waited is served.",
    remedy: "Nothing.",
    manual: PROGRAM,
};

pub(super) const COMMAND: Text = Text {
    subject: "Somebody has asked @RWSGI_APP@ for something",
    cause: "A command came by the control socket or by `master-fifo`. The entry tells which.",
    remedy: "Nothing.",
    manual: PROGRAM,
};

pub(super) const COMMAND_STARTED: Text = Text {
    subject: "@RWSGI_APP@ has started @RWSGI_COMMAND@",
    cause: "\
The master has started a command of the INI file beside the workers. It is a process of the instance, with
the environment of the application, and as its user unless the INI file names another.",
    remedy: "Nothing. `rwsgi status @RWSGI_APP@` shows what runs.",
    manual: OPTIONS,
};

pub(super) const COMMAND_ENDED: Text = Text {
    subject: "@RWSGI_COMMAND@ of @RWSGI_APP@ has ended",
    cause: "\
A command of the INI file has ended by itself and with code 0, or because the instance reloads or stops.",
    remedy: "Nothing.",
    manual: OPTIONS,
};

pub(super) const COMMAND_FAILED: Text = Text {
    subject: "@RWSGI_COMMAND@ of @RWSGI_APP@ has failed",
    cause: "\
A command of the INI file cannot be started, has exited with a code that is not 0, was killed, or has not
ended in time. Requests are served meanwhile; where it is one without which the instance is not to run
(`attach-control-daemon`), the entry says that the instance stops.",
    remedy: "\
`journalctl RWSGI_COMMAND='@RWSGI_COMMAND@'` shows what it wrote before. Try the command by hand, as the user
of the instance and in its directory (`chdir`).",
    manual: OPTIONS,
};

pub(super) const COMMAND_OUTPUT: Text = Text {
    subject: "@RWSGI_COMMAND@ of @RWSGI_APP@ wrote something",
    cause: "The text is what a command of the INI file has written to its standard output or error stream.",
    remedy: "Nothing.",
    manual: OPTIONS,
};

pub(super) const STATUS: Text = Text {
    subject: "The state of @RWSGI_APP@",
    cause: "Somebody has asked for it to be logged, by SIGUSR2 or by `master-fifo`.",
    remedy: "Nothing. `rwsgi status @RWSGI_APP@` tells it without an entry.",
    manual: PROGRAM,
};

pub(super) const ACCESS: Text = Text {
    subject: "@REQUEST_METHOD@ @REQUEST_PATH@ was answered with @HTTP_STATUS@",
    cause: "A request was answered. DURATION_USEC is the time that it took, RESPONSE_BYTES the size of the body.",
    remedy: "\
Nothing. With a status of 500 and more the priority is `warning`, and an entry with a traceback or an
error of the application stands before. `disable-logging = true` turns these entries off.",
    manual: FIELDS,
};

pub(super) const TRACEBACK: Text = Text {
    subject: "@RWSGI_APP@ raised @PYTHON_EXCEPTION@",
    cause: "\
An exception left the application, or the application logged one. If it was not caught, the client got
500, or, once the response had begun, a connection that breaks off.",
    remedy: "\
CODE_FILE and CODE_LINE are the innermost place. `journalctl PYTHON_EXCEPTION=KeyError` finds all of a
kind, `journalctl CODE_FILE=…` all of a file.",
    manual: FIELDS,
};

pub(super) const SLOW_REQUEST: Text = Text {
    subject: "@REQUEST_METHOD@ @REQUEST_PATH@ takes its time",
    cause: "\
The application runs a request for longer than `harakiri-warn`. Nothing is done about it yet.
PYTHON_STACK is where its thread is.",
    remedy: "\
See what the stack waits for: a query, another service, a lock. `rwsgi stacks @RWSGI_APP@` tells the
same at any moment. If such requests are normal, raise `harakiri-warn`.",
    manual: OPTIONS,
};

pub(super) const REQUEST_TIMEOUT: Text = Text {
    subject: "@REQUEST_METHOD@ @REQUEST_PATH@ took too long",
    cause: "\
The application has run a request for longer than `harakiri`. An exception is raised in its thread, and
the client gets 504 if the response has not begun. Time in which the machine slept does not count.",
    remedy: "\
See PYTHON_STACK. Give calls of other services a timeout below `harakiri`, move long work to a queue,
or raise `harakiri`.",
    manual: OPTIONS,
};

pub(super) const WORKER_STUCK: Text = Text {
    subject: "Worker @RWSGI_WORKER@ of @RWSGI_APP@ does not go on",
    cause: "\
Either a request that has taken too long did not end by the exception that was raised in its thread: it
waits in code that is not Python, or catches everything; the worker finishes its other requests and is
replaced, and if it cannot, it is killed. Or the worker has not answered the watchdog (WatchdogSec= of the
unit), as it was stopped by a signal or is busy outside of Python; it is killed and replaced.",
    remedy: "\
See PYTHON_STACK: its last line is the call that does not return. Give it a timeout. If no stack can be
told, an extension module holds Python's lock. Where the watchdog has ended it, its stacks are the output of
the worker just before.",
    manual: OPTIONS,
};

pub(super) const UNRESPONSIVE: Text = Text {
    subject: "Python does not go on in @RWSGI_APP@",
    cause: "\
No code of Python has run for a long time, in one worker (a warning) or in all of them: something that is not
Python, an extension module in most cases, has Python's lock and does not give it back. In all of them nobody
serves, and systemd is asked to restart the service (WATCHDOG=trigger).",
    remedy: "\
The output of the workers just before says where their threads are: the last call in Python is that of the
code which holds the lock. Have it release the lock, or move the work out of the request. Set `harakiri` to
have single workers replaced sooner. If it is to take so long, raise WatchdogSec= of the unit.",
    manual: OPTIONS,
};

pub(super) const OVERLOAD: Text = Text {
    subject: "@RWSGI_APP@ was too busy for @REQUEST_METHOD@ @REQUEST_PATH@",
    cause: "\
All threads of a worker were busy for longer than `queue-timeout`, or `max-queue` requests waited for
one already. The client was answered with 503 and Retry-After; the application has not seen its request.",
    remedy: "\
`rwsgi stacks @RWSGI_APP@` tells what the threads do: most often all wait for the same slow thing. If they
do what they should, raise `threads` or `processes`; the other entries of that minute tell how many were
turned away.",
    manual: OPTIONS,
};

pub(super) const APPLICATION_ERROR: Text = Text {
    subject: "@RWSGI_APP@ broke a rule of WSGI",
    cause: "\
The application did what PEP 3333 forbids: a status without number, a header with a line break, a body
shorter or longer than its Content-Length, a chunk that is not bytes. The client got 500, or a
connection that breaks off, never a response that only looks right.",
    remedy: "The entry names the rule and the request. The fault is in the application or in a middleware.",
    manual: FIELDS,
};

pub(super) const APPLICATION_OUTPUT: Text = Text {
    subject: "@RWSGI_APP@ wrote to its standard output or error stream",
    cause: "The text comes from `print`, `sys.stderr`, `wsgi.errors` or a logging handler of the application.",
    remedy: "Nothing.",
    manual: FIELDS,
};

pub(super) const APPLICATION_LOG: Text = Text {
    subject: "@RWSGI_APP@ logged something as @LOGGER@",
    cause: "\
The entry is a record of Python's `logging` that came by rwsgi.logging.JournalHandler. Its level, its place
and what was given as `extra` are fields of the entry.",
    remedy: "\
Nothing. `journalctl LOGGER=@LOGGER@` finds all of that logger, `journalctl REQUEST_ID=…` all that belongs
to the same request.",
    manual: FIELDS,
};

pub(super) const CLIENT_ERROR: Text = Text {
    subject: "A client of @RWSGI_APP@ broke a rule, or left",
    cause: "\
A request was refused because it is malformed, too large or too slow, or a client closed the connection
before its response was complete. A crowd of such entries is counted and not logged one by one.",
    remedy: "\
Nothing, for clients out there do such things. If your own proxy or client is refused, the entry names
the rule; limits (`buffer-size`, `limit-post`, `minimum-rate`, …) can be set.",
    manual: OPTIONS,
};

pub(super) const SYSTEM_ERROR: Text = Text {
    subject: "The system refused @RWSGI_APP@ something",
    cause: "A system call failed that should not: no descriptors, no memory, a full disk, a missing permission.",
    remedy: "\
The entry tells what failed and for what reason. Limits are those of the unit: LimitNOFILE=, MemoryMax=,
TasksMax=, ReadWritePaths= (`systemctl edit rwsgi@@RWSGI_APP@`).",
    manual: PROGRAM,
};

pub(super) const LOG_LOST: Text = Text {
    subject: "@RWSGI_APP@ has lost @RWSGI_LOST@ entries of its log",
    cause: "\
Entries came faster than the log took them. Requests never wait for the log, so entries were dropped
and counted.",
    remedy: "\
Log fewer requests (`disable-logging`), or to a file (`logto`). See whether the disk of the journal is
slow or full: `journalctl --disk-usage`.",
    manual: OPTIONS,
};
