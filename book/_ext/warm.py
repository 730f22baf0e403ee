"""One warm process, of which the kernels of all chapters are forks: what they all import is imported once.

:func:`warm_kernels` is what the build uses. Run as ``python -S warm.py SOCKET FILE``, this file is what Jupyter starts as a
kernel: it asks the warm process for one, hands it the connection file FILE, and lives for as long as that one does.
"""

import json
import os
import socket
import sys


def main() -> None:
    """Be a kernel, as far as Jupyter can see."""
    with socket.socket(socket.AF_UNIX) as warm:
        warm.connect(sys.argv[1])
        asked = {"file": sys.argv[2], "folder": os.getcwd(), "environment": dict(os.environ)}
        warm.sendall(json.dumps(asked).encode() + b"\n")
        warm.recv(1)  # comes when the kernel has ended


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # and so ends the kernel
        sys.exit(130)
    sys.exit()

import signal  # noqa: E402 (Jupyter waits for what stands above)
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402

# What nearly every chapter imports; nothing that starts a thread, which no fork would have, and not matplotlib, which shows its
# figures in a notebook only where it is imported in one.
SHARED = ("torch", "pandas", "scipy.stats", "scipy.signal", "sklearn.metrics", "IPython", "myst_nb", "ipykernel.kernelapp")


@contextmanager
def warm_kernels(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Inside, kernels called python3 are forks of a warm process, for whoever has the ``environment`` that this yields."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "socket"
        spec = Path(folder) / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [sys.executable, "-S", __file__, str(place), "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
        serve = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import warm; warm.serve({str(place)!r})"
        # Libraries look at some variables when they are imported, and so once for all.
        with subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, env=environment) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()  # it listens
                path = os.pathsep.join(filter(None, [folder, environment.get("JUPYTER_PATH")]))
                yield environment | {"JUPYTER_PATH": path}
            finally:
                server.terminate()


def serve(place: str) -> None:
    """Import what is shared, then fork a kernel for everyone who asks, for ever."""
    for name in SHARED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a kernel
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print(flush=True)
        while True:
            asker, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _be_kernel(asker)
            asker.close()


def _be_kernel(asker: socket.socket) -> None:
    """A kernel, until it ends or whoever asked for it does."""
    from ipykernel.kernelapp import launch_new_instance

    asked = json.loads(asker.makefile().readline())
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.path.pop(0)  # the folder of this file
    nowhere = os.open(os.devnull, os.O_RDWR)  # what a kernel prints goes to Jupyter, by another way
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.argv = ["ipykernel_launcher.py", "-f", asked["file"]]

    def watch() -> None:
        asker.recv(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    launch_new_instance()
    os._exit(0)
