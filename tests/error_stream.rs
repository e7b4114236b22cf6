//! `wsgi.errors`.

use crate::support::server::Server;

#[test]
fn what_is_written_is_in_the_log_line_by_line() {
    let server = Server::new("");
    server.get("/complain").expect(200);
    for line in
        ["warning: one line\n", "warning: two parts\n", "warning: and €", "warning: not ended\n"]
    {
        server.wait_for_log(line, 1);
    }
    server.wait_for_log("bytes are refused", 1);
}
