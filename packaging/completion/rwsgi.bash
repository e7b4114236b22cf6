# Completion of rwsgi(8) for bash. Printed by `rwsgi --completion-bash`.

_rwsgi_reply() {
    mapfile -t COMPREPLY < <(compgen "$@" -- "$current")
}

_rwsgi_instances() {
    _rwsgi_reply -W "$(cd /run/rwsgi 2>/dev/null && for name in */; do [ -d "$name" ] && echo "${name%/}"; done)"
}

# All files, or those with this ending and the directories on the way.
_rwsgi_files() {
    compopt -o filenames 2>/dev/null
    case ${1:-} in
        '') _rwsgi_reply -f ;;
        directory) _rwsgi_reply -d ;;
        *) mapfile -t COMPREPLY < <(compgen -f -X "!*.$1" -- "$current"; compgen -d -- "$current") ;;
    esac
}

_rwsgi() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    # bash takes --option=value for three words.
    if [ "$current" = = ]; then
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [[ $current == -* ]]; then
        _rwsgi_reply -W "
            --ini --check --show-config --get --dump-options --stop --reload --stacks --help --version --http
            --socket --uwsgi-socket --protocol --proxy-protocol --trusted-proxies --trusted-proxy-count
            --trusted-proxy-headers --max-connections --listen --chmod-socket --chown-socket --chdir --wsgi-file
            --module --mount --manage-script-name --need-app --no-default-app --eval --paste --paste-logger
            --callable --pythonpath --virtualenv --python --optimize --no-site --env --envdir --unenv --pyargv
            --import --shared-import --pymodule-alias --post-pymodule-alias --chdir2 --warm-up --uwsgi-module
            --locks --cache2 --cache --cache-blocksize --cache-store --cache-store-sync --processes --threads
            --cpu-affinity --cheaper --cheaper-initial --cheaper-step --cheaper-algo --cheaper-overload
            --cheaper-idle --cheaper-busyness-max --cheaper-busyness-min --cheaper-busyness-multiplier
            --cheaper-busyness-penalty --cheaper-busyness-backlog-alert --cheaper-busyness-backlog-step
            --cheaper-busyness-backlog-nonzero --cheaper-rss-limit-soft --cheaper-rss-limit-hard --idle
            --die-on-idle --cheap --lazy-apps --worker-reload-mercy --reload-probe --reload-probe-timeout
            --reload-overlap --import-timeout --touch-reload --touch-workers-reload --touch-chain-reload
            --py-autoreload --max-requests --max-requests-delta --max-worker-lifetime --max-worker-lifetime-delta
            --min-worker-lifetime --reload-on-rss --reload-on-pss --reload-on-uss --reload-on-as
            --evil-reload-on-rss --evil-reload-on-as --reload-on-memory-pressure --mem-collector-freq --harakiri
            --harakiri-warn --harakiri-grace --max-queue --queue-timeout --buffer-size --max-fields --limit-post
            --post-buffering --response-buffering --http-headers-timeout --http-keepalive --http-timeout
            --minimum-rate --static-map --static-map2 --check-static --static-index --static-skip-ext
            --static-safe --mimefile --error-page-403 --error-page-404 --error-page-500 --static-expires
            --static-expires-mtime --static-expires-uri --static-expires-uri-mtime --static-expires-path-info
            --static-expires-path-info-mtime --static-expires-type --static-expires-type-mtime --static-gzip
            --static-gzip-dir --static-gzip-ext --static-gzip-all --x-sendfile --x-accel-redirect --route
            --route-uri --route-host --route-qs --route-remote-addr --route-remote-user --route-user-agent
            --route-referer --route-if --route-if-not --route-run --route-label --response-route
            --response-route-status --response-route-uri --response-route-host --response-route-qs
            --response-route-remote-addr --response-route-remote-user --response-route-user-agent
            --response-route-referer --response-route-if --response-route-if-not --response-route-run
            --response-route-label --error-route --error-route-status --error-route-uri --error-route-host
            --error-route-qs --error-route-remote-addr --error-route-remote-user --error-route-user-agent
            --error-route-referer --error-route-if --error-route-if-not --error-route-run --error-route-label
            --final-route --final-route-status --final-route-uri --final-route-host --final-route-qs
            --final-route-remote-addr --final-route-remote-user --final-route-user-agent --final-route-referer
            --final-route-if --final-route-if-not --final-route-run --final-route-label --add-header --del-header
            --collect-header --pull-header --hook-asap --exec-asap --hook-pre-jail --exec-pre-jail --hook-in-jail
            --exec-in-jail --hook-as-root --exec-as-root --hook-as-user --exec-as-user --hook-pre-app
            --exec-pre-app --hook-post-app --exec-post-app --hook-master-start --hook-post-fork --hook-accepting
            --hook-accepting-once --hook-accepting1 --hook-accepting1-once --hook-touch --hook-as-user-atexit
            --exec-as-user-atexit --hook-timeout --attach-daemon --attach-control-daemon --attach-daemon2
            --smart-attach-daemon --smart-attach-daemon2 --cron --unique-cron --cron2 --cron-harakiri --uid --gid
            --umask --pidfile --control-socket --control-group --master-fifo --stats --stats-http
            --stats-minified --stats-no-cores --daemonize --ignore-unsupported --autostart --socket-activation
            --memory-high --memory-max --cpu-quota --tasks-max --logto --logging --logger --log-syslog
            --log-socket --log-drain --log-filter --log-route --log-encoder --log-date --logfile-chmod
            --logfile-chown --log-maxsize --log-backupname --log-truncate --log-reopen --touch-logreopen
            --touch-logrotate --disable-logging --log-4xx --log-5xx --log-slow --log-big --log-zero --log-ioerror
            --log-sendfile --log-format --log-format-strftime --log-micros --log-x-forwarded-for --req-logger
            --log-req-route --log-req-encoder --log-rate --master --die-on-term --vacuum --enable-threads
            --single-interpreter --honour-range --strict --json --interval --once --timeout --workers --wait
            --worker"
        return
    fi
    case $previous in
        --ini) _rwsgi_files ini; return ;;
        --check) _rwsgi_files ini; return ;;
        --show-config) _rwsgi_files ini; return ;;
        --get) :; return ;;
        --stop) _rwsgi_files; return ;;
        --reload) _rwsgi_files; return ;;
        --stacks) _rwsgi_files; return ;;
        --http) :; return ;;
        -s | --socket) :; return ;;
        --uwsgi-socket) :; return ;;
        --protocol) _rwsgi_reply -W 'http uwsgi fastcgi scgi'; return ;;
        --proxy-protocol) :; return ;;
        --trusted-proxies) :; return ;;
        --trusted-proxy-count) :; return ;;
        --trusted-proxy-headers) _rwsgi_reply -W 'x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port forwarded x-request-id'; return ;;
        --max-connections) :; return ;;
        -l | --listen) :; return ;;
        --chown-socket) _rwsgi_reply -u; return ;;
        --chdir) _rwsgi_files directory; return ;;
        --wsgi-file) _rwsgi_files; return ;;
        -w | --module) :; return ;;
        --mount) :; return ;;
        --eval) :; return ;;
        --paste) :; return ;;
        --callable) :; return ;;
        --pythonpath) _rwsgi_files; return ;;
        -H | --virtualenv) _rwsgi_files directory; return ;;
        --python) _rwsgi_files; return ;;
        --optimize) :; return ;;
        --env) :; return ;;
        --envdir) _rwsgi_files directory; return ;;
        --unenv) :; return ;;
        --pyargv) :; return ;;
        --import) :; return ;;
        --shared-import) :; return ;;
        --pymodule-alias) :; return ;;
        --post-pymodule-alias) :; return ;;
        --chdir2) _rwsgi_files; return ;;
        --warm-up) :; return ;;
        --locks) :; return ;;
        --cache2) :; return ;;
        --cache) :; return ;;
        --cache-blocksize) :; return ;;
        --cache-store) _rwsgi_files; return ;;
        --cache-store-sync) :; return ;;
        -p | --processes) :; return ;;
        --threads) :; return ;;
        --cpu-affinity) :; return ;;
        --cheaper) :; return ;;
        --cheaper-initial) :; return ;;
        --cheaper-step) :; return ;;
        --cheaper-algo) _rwsgi_reply -W 'spare spare2 backlog backlog2 busyness manual'; return ;;
        --cheaper-overload) :; return ;;
        --cheaper-idle) :; return ;;
        --cheaper-busyness-max) :; return ;;
        --cheaper-busyness-min) :; return ;;
        --cheaper-busyness-multiplier) :; return ;;
        --cheaper-busyness-penalty) :; return ;;
        --cheaper-busyness-backlog-alert) :; return ;;
        --cheaper-busyness-backlog-step) :; return ;;
        --cheaper-busyness-backlog-nonzero) :; return ;;
        --cheaper-rss-limit-soft) :; return ;;
        --cheaper-rss-limit-hard) :; return ;;
        --idle) :; return ;;
        --worker-reload-mercy) :; return ;;
        --reload-probe) :; return ;;
        --reload-probe-timeout) :; return ;;
        --reload-overlap) :; return ;;
        --import-timeout) :; return ;;
        --touch-reload) _rwsgi_files; return ;;
        --touch-workers-reload) _rwsgi_files; return ;;
        --touch-chain-reload) _rwsgi_files; return ;;
        --py-autoreload) :; return ;;
        -R | --max-requests) :; return ;;
        --max-requests-delta) :; return ;;
        --max-worker-lifetime) :; return ;;
        --max-worker-lifetime-delta) :; return ;;
        --min-worker-lifetime) :; return ;;
        --reload-on-rss) :; return ;;
        --reload-on-pss) :; return ;;
        --reload-on-uss) :; return ;;
        --reload-on-as) :; return ;;
        --evil-reload-on-rss) :; return ;;
        --evil-reload-on-as) :; return ;;
        --reload-on-memory-pressure) :; return ;;
        --mem-collector-freq) :; return ;;
        -t | --harakiri) :; return ;;
        --harakiri-warn) :; return ;;
        --harakiri-grace) :; return ;;
        --max-queue) :; return ;;
        --queue-timeout) :; return ;;
        -b | --buffer-size) :; return ;;
        --max-fields) :; return ;;
        --limit-post) :; return ;;
        --post-buffering) :; return ;;
        --response-buffering) :; return ;;
        --http-headers-timeout) :; return ;;
        -z | --http-timeout) :; return ;;
        --minimum-rate) :; return ;;
        --static-map) :; return ;;
        --static-map2) :; return ;;
        --check-static) _rwsgi_files; return ;;
        --static-index) :; return ;;
        --static-skip-ext) :; return ;;
        --static-safe) _rwsgi_files; return ;;
        --mimefile) _rwsgi_files; return ;;
        --error-page-403) _rwsgi_files; return ;;
        --error-page-404) _rwsgi_files; return ;;
        --error-page-500) _rwsgi_files; return ;;
        --static-expires) :; return ;;
        --static-expires-mtime) :; return ;;
        --static-expires-uri) :; return ;;
        --static-expires-uri-mtime) :; return ;;
        --static-expires-path-info) :; return ;;
        --static-expires-path-info-mtime) :; return ;;
        --static-expires-type) :; return ;;
        --static-expires-type-mtime) :; return ;;
        --static-gzip) :; return ;;
        --static-gzip-dir) _rwsgi_files directory; return ;;
        --static-gzip-ext) :; return ;;
        --x-sendfile) _rwsgi_files; return ;;
        --x-accel-redirect) :; return ;;
        --route) :; return ;;
        --route-uri) :; return ;;
        --route-host) :; return ;;
        --route-qs) :; return ;;
        --route-remote-addr) :; return ;;
        --route-remote-user) :; return ;;
        --route-user-agent) :; return ;;
        --route-referer) :; return ;;
        --route-if) :; return ;;
        --route-if-not) :; return ;;
        --route-run) :; return ;;
        --route-label) :; return ;;
        --response-route) :; return ;;
        --response-route-status) :; return ;;
        --response-route-uri) :; return ;;
        --response-route-host) :; return ;;
        --response-route-qs) :; return ;;
        --response-route-remote-addr) :; return ;;
        --response-route-remote-user) :; return ;;
        --response-route-user-agent) :; return ;;
        --response-route-referer) :; return ;;
        --response-route-if) :; return ;;
        --response-route-if-not) :; return ;;
        --response-route-run) :; return ;;
        --response-route-label) :; return ;;
        --error-route) :; return ;;
        --error-route-status) :; return ;;
        --error-route-uri) :; return ;;
        --error-route-host) :; return ;;
        --error-route-qs) :; return ;;
        --error-route-remote-addr) :; return ;;
        --error-route-remote-user) :; return ;;
        --error-route-user-agent) :; return ;;
        --error-route-referer) :; return ;;
        --error-route-if) :; return ;;
        --error-route-if-not) :; return ;;
        --error-route-run) :; return ;;
        --error-route-label) :; return ;;
        --final-route) :; return ;;
        --final-route-status) :; return ;;
        --final-route-uri) :; return ;;
        --final-route-host) :; return ;;
        --final-route-qs) :; return ;;
        --final-route-remote-addr) :; return ;;
        --final-route-remote-user) :; return ;;
        --final-route-user-agent) :; return ;;
        --final-route-referer) :; return ;;
        --final-route-if) :; return ;;
        --final-route-if-not) :; return ;;
        --final-route-run) :; return ;;
        --final-route-label) :; return ;;
        --add-header) :; return ;;
        --del-header) :; return ;;
        --collect-header) :; return ;;
        --pull-header) :; return ;;
        --hook-asap) :; return ;;
        --exec-asap) :; return ;;
        --hook-pre-jail) :; return ;;
        --exec-pre-jail) :; return ;;
        --hook-in-jail) :; return ;;
        --exec-in-jail) :; return ;;
        --hook-as-root) :; return ;;
        --exec-as-root) :; return ;;
        --hook-as-user) :; return ;;
        --exec-as-user) :; return ;;
        --hook-pre-app) :; return ;;
        --exec-pre-app) :; return ;;
        --hook-post-app) :; return ;;
        --exec-post-app) :; return ;;
        --hook-master-start) :; return ;;
        --hook-post-fork) :; return ;;
        --hook-accepting) :; return ;;
        --hook-accepting-once) :; return ;;
        --hook-accepting1) :; return ;;
        --hook-accepting1-once) :; return ;;
        --hook-touch) :; return ;;
        --hook-as-user-atexit) :; return ;;
        --exec-as-user-atexit) :; return ;;
        --hook-timeout) :; return ;;
        --attach-daemon) :; return ;;
        --attach-control-daemon) :; return ;;
        --attach-daemon2) :; return ;;
        --smart-attach-daemon) :; return ;;
        --smart-attach-daemon2) :; return ;;
        --cron) :; return ;;
        --unique-cron) :; return ;;
        --cron2) :; return ;;
        --cron-harakiri) :; return ;;
        --uid) _rwsgi_reply -u; return ;;
        --gid) _rwsgi_reply -g; return ;;
        --umask) :; return ;;
        --pidfile) _rwsgi_files; return ;;
        --control-socket) _rwsgi_files; return ;;
        --control-group) _rwsgi_reply -g; return ;;
        --master-fifo) _rwsgi_files; return ;;
        --stats) :; return ;;
        -d | --daemonize) _rwsgi_files; return ;;
        --memory-high) :; return ;;
        --memory-max) :; return ;;
        --cpu-quota) :; return ;;
        --tasks-max) :; return ;;
        --logto) _rwsgi_files; return ;;
        --logging) _rwsgi_reply -W 'auto stderr journal syslog'; return ;;
        --logger) :; return ;;
        --log-syslog) :; return ;;
        --log-socket) :; return ;;
        --log-drain) :; return ;;
        --log-filter) :; return ;;
        --log-route) :; return ;;
        --log-encoder) :; return ;;
        --logfile-chmod) :; return ;;
        --log-maxsize) :; return ;;
        --log-backupname) _rwsgi_files; return ;;
        --touch-logreopen) _rwsgi_files; return ;;
        --touch-logrotate) _rwsgi_files; return ;;
        --log-slow) :; return ;;
        --log-big) :; return ;;
        --log-format) :; return ;;
        --req-logger) :; return ;;
        --log-req-route) :; return ;;
        --log-req-encoder) :; return ;;
        --log-rate) :; return ;;
        --interval) :; return ;;
        --timeout) :; return ;;
        --worker) :; return ;;
        status) _rwsgi_instances; return ;;
        workers) _rwsgi_instances; return ;;
        top) _rwsgi_instances; return ;;
        stacks) _rwsgi_instances; return ;;
        reload) _rwsgi_instances; return ;;
        stop) _rwsgi_instances; return ;;
        pause) _rwsgi_instances; return ;;
        resume) _rwsgi_instances; return ;;
        drain) _rwsgi_instances; return ;;
        scale) _rwsgi_instances; return ;;
        check) _rwsgi_files ini; return ;;
        convert) _rwsgi_files ini; return ;;
        doctor) _rwsgi_instances; return ;;
        new) _rwsgi_files directory; return ;;
    esac
    _rwsgi_files ini
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W 'status workers top stacks reload stop pause resume drain scale list check convert doctor new' -- "$current")
    fi
}

complete -F _rwsgi rwsgi
