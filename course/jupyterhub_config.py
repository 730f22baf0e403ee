"""JupyterHub for a class: ``jupyterhub -f course/jupyterhub_config.py``, as the user who owns this folder.

Every student gets a copy of the chapters, reads what was trained from one folder, and has a password that is yours to give. It
is for one trusted room: all servers run as one user of the machine. For more, take an authenticator and a spawner that your
house uses; the hook below stays as it is.

    ASD_CLASS        folder of the class (default ./class): a folder for each student, and `data`, filled by running the chapters once
    ASD_PASSWORD     what students type, of 12 letters or more
    ASD_NOTEBOOKS    the folder `notebooks` of the student's ZIP (default: book)
"""

import os
import shutil
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
CLASS = Path(os.environ.get("ASD_CLASS", "class")).resolve()
NOTEBOOKS = Path(os.environ.get("ASD_NOTEBOOKS", TOP / "book"))


def copy_of_the_chapters(spawner):
    """A folder of the student's own, with the chapters, and what they import; what is there stays as it is."""
    own = CLASS / spawner.user.name
    if not own.exists():
        skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(NOTEBOOKS, own / "notebooks", ignore=skip)
        shutil.copytree(TOP / "data" / "results", own / "data" / "results")
    spawner.notebook_dir = str(own / "notebooks")
    spawner.environment["ASDLIB_DATA"] = str(CLASS / "data")
    spawner.environment["OMP_NUM_THREADS"] = "1"


c = get_config()  # noqa: F821  (JupyterHub reads this file with it)
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["ASD_PASSWORD"]
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.Spawner.pre_spawn_hook = copy_of_the_chapters
c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
c.JupyterHub.db_url = f"sqlite:///{CLASS}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(CLASS / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(CLASS / "proxy.pid")
CLASS.mkdir(parents=True, exist_ok=True)
