//! Names of uWSGI's module behind which there is nothing here: calling one says what to use instead.

use std::ffi::CStr;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

const JOBS: &str = "there is no spooler: have a queue that outlives the service do jobs (Celery, RQ, Huey, \
                    django-q), or a thread, `@uwsgidecorators.thread`";
const MULES: &str = "there are no mules and farms: make what they do a service of its own, or run it in a \
                     worker, by a timer or a thread of `uwsgidecorators`";
const RPC: &str = "there are no remote procedures: have one service ask the other by HTTP";
const AREA: &str =
    "there are no shared areas: use `multiprocessing.shared_memory`, or a file and `mmap`";
const QUEUE: &str = "there are no shared queues: use a broker, such as Redis";
const FIGURES: &str = "nothing is published by SNMP or uWSGI's metrics: use `prometheus_client`; `rwsgi status` \
                       tells what rwsgi counts";
const WEBSOCKETS: &str = "WebSockets are not served by WSGI here: serve them by an ASGI server behind the same web \
                          server";
const LOOPS: &str =
    "there is no event loop for applications: a request has a thread (`threads`), which may wait";
const SOCKETS: &str = "the connection is not the application's: it carries other requests, too. Read \
                       `wsgi.input`, return the response";
const CHUNKS: &str = "`wsgi.input` has the body, however the client sends it";
const FILES: &str = "return `environ['wsgi.file_wrapper'](file)`, or a response with X-Sendfile";
const LEGIONS: &str =
    "there are no legions and clusters: use a lock of the database, or keepalived";
const WAITING: &str =
    "nobody waits for a signal here: `uwsgi.register_signal` names the function that is called";
const ALARMS: &str = "there are no alarms: log an error, which has a priority in the journal, or use OnFailure= \
                      of the service";
const PLACES: &str = "nothing is embedded in the program: read files";
const VARIABLES: &str = "set it in the `environ` of the application, or by `uwsgi.set_logvar`";
const ROUTING: &str = "there is no internal routing for applications";
const LOGGING: &str = "`log-4xx`, `log-5xx` and `log-slow` say which requests are logged";
const INI: &str = "use `configparser`; `uwsgi.opt` has the configuration";
const CALLABLE: &str = "call the `start_response` that the application is called with";
const WARNING: &str = "log it: `logging.warning`";

/// Each name, with what is said of it. Those of caches are where the caches are.
const NAMES: &[(&[&CStr], &str)] = &[
    (
        &[
            c"spool",
            c"send_to_spooler",
            c"set_spooler_frequency",
            c"spooler_jobs",
            c"spooler_pid",
            c"spooler_pids",
            c"spooler_get_task",
        ],
        JOBS,
    ),
    (&[c"mule_msg", c"mule_get_msg", c"farm_msg", c"farm_get_msg"], MULES),
    (&[c"rpc", c"register_rpc", c"rpc_list", c"call"], RPC),
    (
        &[
            c"sharedarea_read",
            c"sharedarea_write",
            c"sharedarea_readbyte",
            c"sharedarea_writebyte",
            c"sharedarea_readlong",
            c"sharedarea_writelong",
            c"sharedarea_read8",
            c"sharedarea_write8",
            c"sharedarea_read16",
            c"sharedarea_write16",
            c"sharedarea_read32",
            c"sharedarea_write32",
            c"sharedarea_read64",
            c"sharedarea_write64",
            c"sharedarea_inc8",
            c"sharedarea_dec8",
            c"sharedarea_inc16",
            c"sharedarea_dec16",
            c"sharedarea_inc32",
            c"sharedarea_dec32",
            c"sharedarea_inc64",
            c"sharedarea_dec64",
            c"sharedarea_inclong",
            c"sharedarea_readfast",
            c"sharedarea_memoryview",
            c"sharedarea_object",
            c"sharedarea_rlock",
            c"sharedarea_wlock",
            c"sharedarea_unlock",
            c"sharedarea_wait",
            c"sharedarea_update",
        ],
        AREA,
    ),
    (
        &[
            c"queue_get",
            c"queue_set",
            c"queue_last",
            c"queue_push",
            c"queue_pull",
            c"queue_pop",
            c"queue_slot",
            c"queue_pull_slot",
        ],
        QUEUE,
    ),
    (
        &[
            c"snmp_set_community",
            c"snmp_set_counter32",
            c"snmp_set_counter64",
            c"snmp_set_gauge",
            c"snmp_incr_counter32",
            c"snmp_incr_counter64",
            c"snmp_incr_gauge",
            c"snmp_decr_counter32",
            c"snmp_decr_counter64",
            c"snmp_decr_gauge",
            c"metric_get",
            c"metric_set",
            c"metric_set_max",
            c"metric_set_min",
            c"metric_inc",
            c"metric_dec",
            c"metric_mul",
            c"metric_div",
        ],
        FIGURES,
    ),
    (
        &[
            c"websocket_handshake",
            c"websocket_recv",
            c"websocket_recv_nb",
            c"websocket_send",
            c"websocket_send_binary",
            c"websocket_send_from_sharedarea",
            c"websocket_send_binary_from_sharedarea",
        ],
        WEBSOCKETS,
    ),
    (
        &[
            c"suspend",
            c"wait_fd_read",
            c"wait_fd_write",
            c"ready_fd",
            c"async_sleep",
            c"async_connect",
            c"green_schedule",
        ],
        LOOPS,
    ),
    (
        &[c"connection_fd", c"is_connected", c"connect", c"send", c"recv", c"close", c"offload"],
        SOCKETS,
    ),
    (&[c"chunked_read", c"chunked_read_nb"], CHUNKS),
    (&[c"sendfile"], FILES),
    (&[c"i_am_the_lord", c"lord_scroll", c"scrolls"], LEGIONS),
    (&[c"signal_wait", c"signal_received"], WAITING),
    (&[c"alarm"], ALARMS),
    (
        &[c"embedded_data", c"extract", c"SymbolsImporter", c"SymbolsZipImporter", c"ZipImporter"],
        PLACES,
    ),
    (&[c"add_var"], VARIABLES),
    (&[c"route"], ROUTING),
    (&[c"log_this_request"], LOGGING),
    (&[c"parsefile"], INI),
    (&[c"start_response"], CALLABLE),
    (&[c"set_warning_message"], WARNING),
];

/// Adds them to the module.
pub(crate) fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for (names, why) in NAMES {
        for name in *names {
            let refuse = move |_: &Bound<'_, _>, _: Option<&Bound<'_, _>>| -> PyResult<()> {
                let name = name.to_string_lossy();
                Err(PyNotImplementedError::new_err(format!("uwsgi.{name}: {why}")))
            };
            let function = PyCFunction::new_closure(module.py(), Some(name), None, refuse)?;
            module.add(&*name.to_string_lossy(), function)?;
        }
    }
    Ok(())
}
