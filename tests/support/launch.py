# Executes its arguments as systemd does it: with the descriptors that come over standard input from
# number 3 on, and LISTEN_* that tell of them.
import array
import fcntl
import os
import socket
import sys

MOST = 64
HIGH = 100

channel = socket.socket(fileno=os.dup(0))
names, control, _, _ = channel.recvmsg(65536, socket.CMSG_SPACE(MOST * 4))
channel.close()
given = array.array('i')
for _, _, data in control:
    given.frombytes(data)
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for fd in given]
os.closerange(3, HIGH)
null = os.open('/dev/null', os.O_RDONLY)
os.dup2(null, 0)
os.close(null)
for number, fd in enumerate(high, 3):
    os.dup2(fd, number)
    os.close(fd)
if high:
    os.environ['LISTEN_PID'] = str(os.getpid())
    os.environ['LISTEN_FDS'] = str(len(high))
    os.environ['LISTEN_FDNAMES'] = names.decode()
os.execv(sys.argv[1], sys.argv[1:])
