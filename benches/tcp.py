"""How TCP sends while it is measured: as Linux and the distributions have it by default."""
import contextlib

import table

PATH = "/proc/sys/net/ipv4/tcp_congestion_control"
USUAL = "cubic"


@contextlib.contextmanager
def as_usual():
    """With BBR each response arms a timer, and waits for it: what is measured then are the timers of the machine.

    The setting is put back at the end. Who may not change it is told."""
    with open(PATH) as file:
        found = file.read().strip()
    if found == USUAL or not write(USUAL):
        yield
        return
    table.tell(f"TCP's congestion control is {USUAL} meanwhile, not {found}")
    try:
        yield
    finally:
        write(found)


def write(name):
    try:
        with open(PATH, "w") as file:
            file.write(name)
    except OSError as error:
        table.tell(f"TCP's congestion control cannot be {name}, so figures say little of others: {error}")
        return False
    return True


def congestion_control():
    with open(PATH) as file:
        return file.read().strip()
