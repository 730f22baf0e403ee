"""The log of a training, and the checkpoint from which it goes on."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.learn.tensors import write_tensors

LOG_COLUMNS = (
    "stage",
    "epoch",
    "learning_rate",
    "train_loss",
    "validation_loss",
    "seconds",
)


@dataclass(frozen=True)
class Place:
    """How far a stage has come.

    Whole epochs, steps of the next one, and the sum of the losses of those steps.
    """

    epoch: int = 0
    step: int = 0
    total: float = 0.0


class Checkpoint:
    """The state of a stage after some epochs and steps, in one safetensors file that is
    replaced as a whole.
    """

    def __init__(self, folder: Path, stage: str):
        self.path, self.log_path, self.stage = (
            folder / "checkpoint.safetensors",
            folder / "log.csv",
            stage,
        )

    def log(self) -> list[dict]:
        """This stage's rows of the log."""
        return [row for row in read_log(self.log_path) if row["stage"] == self.stage]

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        log: list[dict],
        place: Place,
    ) -> None:
        """Keep what training needs to go on from ``place``."""
        earlier = [row for row in read_log(self.log_path) if row["stage"] != self.stage]
        with atomic_write(self.log_path) as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS)
            writer.writeheader()
            writer.writerows(earlier + log)
        tensors = {
            f"model.{name}": tensor for name, tensor in model.state_dict().items()
        }
        for i, state in optimizer.state_dict()["state"].items():
            tensors.update(
                {f"optimizer.{i}.{key}": value for key, value in state.items()}
            )
        where = {
            "epochs": str(place.epoch),
            "steps": str(place.step),
            "total": repr(place.total),
        }
        write_tensors(tensors, self.path, metadata={"stage": self.stage} | where)

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Place:
        """Bring model and optimizer to the saved state, and say which that is.

        They stay as they are where there is none.
        """
        if not self.path.exists():
            return Place()
        try:
            with safe_open(self.path, "pt") as file:
                about = file.metadata()
                if about["stage"] != self.stage:
                    return Place()
                place = Place(
                    int(about["epochs"]),
                    int(about.get("steps", 0)),
                    float(about.get("total", 0)),
                )
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            model.load_state_dict(
                {
                    k.removeprefix("model."): v
                    for k, v in tensors.items()
                    if k.startswith("model.")
                }
            )
            state = optimizer.state_dict()
            for key, value in tensors.items():
                if key.startswith("optimizer."):
                    _, i, name = key.split(".")
                    state["state"].setdefault(int(i), {})[name] = value
            optimizer.load_state_dict(state)
        except (
            SafetensorError,
            RuntimeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise AsdError(
                f"{self.path} is not a checkpoint of this run: delete it to train from "
                "the start"
            ) from error
        return place


def read_log(path: Path) -> list[dict]:
    """The rows of a ``log.csv``, numbers as numbers and empty cells as None.

    No rows where there is no file.
    """
    if not path.exists():
        return []
    number = {"epoch": int, "stage": str}
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            rows = [
                {
                    key: number.get(key, float)(value) if value else None
                    for key, value in row.items()
                }
                for row in reader
            ]
        if tuple(reader.fieldnames or ()) != LOG_COLUMNS or any(
            row["epoch"] is None for row in rows
        ):
            raise ValueError("other columns, or a row that was cut off")
    except (ValueError, TypeError, csv.Error, OSError) as error:
        raise AsdError(
            f"{path} is damaged ({error}): remove it; the weights do not depend on it"
        ) from error
    return rows
