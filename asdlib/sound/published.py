"""Where collections of recordings are published: records on Zenodo, and their files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from asdlib.sound.checksums import MD5


@dataclass(frozen=True)
class Part:
    """A part of a collection: its record on Zenodo, and what its files are called.

    ``{}`` in ``file`` stands for the machine type, of ``machine_types`` (none: those of
    the collection). Types in ``renamed`` have a file of another name, and those in
    ``volumes`` so many files that make one 7z archive. ``md5`` has checksums by file.
    """

    record: int
    file: str
    machine_types: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)
    md5: Mapping[str, str] = field(default_factory=dict)

    def files(self, machine_type: str) -> list[str]:
        """What the files of a machine type are called.

        >>> Part(3678171, "dev_data_{}.zip").files("fan")
        ['dev_data_fan.zip']
        """
        name = self.renamed.get(machine_type, self.file.format(machine_type))
        count = self.volumes.get(machine_type)
        if count is None:
            return [name]
        return [f"{name}.{number:03}" for number in range(1, count + 1)]

    def all_files(self) -> Iterator[str]:
        """Those of all its machine types."""
        for machine_type in self.machine_types:
            yield from self.files(machine_type)


def _challenge(
    year: int,
    records: tuple[int, int, int],
    files: tuple[str, str, str],
    dev: str,
    later: str = "",
    renamed: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Part]:
    """Development, additional training and evaluation set of a year.

    ``later`` are the machine types of the last two, where they are others.
    """
    types = (dev, later or dev, later or dev)
    return {
        part: Part(
            record,
            file,
            tuple(names.split()),
            (renamed or {}).get(part, {}),
            md5=MD5.get(f"dcase{year}", {}),
        )
        for part, record, file, names in zip(
            ("dev", "add", "eval"), records, files, types, strict=True
        )
    }


_ZIPS_2021 = ("dev_data_{}.zip", "eval_data_{}_train.zip", "eval_data_{}_test.zip")
_ZIPS = ("dev_{}.zip", "eval_data_{}_train.zip", "eval_data_{}_test.zip")
_SEVEN = "bearing fan gearbox slider ToyCar ToyTrain valve"

PARTS: dict[str, dict[str, Part]] = {
    "dcase2020": _challenge(
        2020,
        (3678171, 3727685, 3841772),
        ("dev_data_{}.zip", "eval_data_train_{}.zip", "eval_data_test_{}.zip"),
        "fan pump slider valve ToyCar ToyConveyor",
    ),
    "dcase2021": _challenge(
        2021,
        (4562016, 4660992, 4884786),
        _ZIPS_2021,
        "fan gearbox pump slider ToyCar ToyTrain valve",
    ),
    "dcase2022": _challenge(2022, (6355122, 6462969, 6586456), _ZIPS, _SEVEN),
    "dcase2023": _challenge(
        2023,
        (7882613, 7830345, 7860847),
        _ZIPS,
        _SEVEN,
        "bandsaw grinder shaker ToyDrone ToyNscale ToyTank Vacuum",
    ),
    "dcase2024": _challenge(
        2024,
        (10902294, 11259435, 11363076),
        _ZIPS,
        _SEVEN,
        "3DPrinter AirCompressor BrushlessMotor HairDryer HoveringDrone RoboticArm "
        "Scanner ToothBrush ToyCircuit",
        {
            "add": {
                name: f"eval_data_{name}_train_r2.zip"
                for name in ("3DPrinter", "RoboticArm")
            }
        },
    ),
    "dcase2025": _challenge(
        2025,
        (15097779, 15392814, 15519362),
        _ZIPS,
        _SEVEN,
        "ToyRCCar ToyPet HomeCamera AutoTrash Polisher ScrewFeeder BandSealer "
        "CoffeeGrinder",
    ),
    "dcase2026": _challenge(
        2026,
        (19336329, 20151556, 20437238),
        _ZIPS,
        "ToyCar ToyCarEmu bearingEmu fan gearboxEmu sliderEmu valveEmu",
        "BlowerDustCollector Sander SewingMachine ToothBrush ToyDrone",
        {"dev": {"ToyCar": "dev_ToyCar_r2.zip"}},
    ),
    "mimii": {
        # The ZIP is called by the signal-to-noise ratio, its content is not.
        f"{snr}_dB": Part(
            3384388,
            f"{snr}_dB_{{}}.zip",
            ("fan", "pump", "slider", "valve"),
            md5=MD5["mimii"],
        )
        for snr in (6, 0, -6)
    },
    "mimii_due": {
        part: Part(
            4740355,
            file,
            ("fan", "gearbox", "pump", "slider", "valve"),
            md5=MD5["mimii_due"],
        )
        for part, file in zip(("dev", "add"), _ZIPS_2021, strict=False)
    },
    "mimii_dg": {
        "dev": Part(
            6529888,
            "{}.zip",
            ("bearing", "fan", "gearbox", "slider", "valve"),
            md5=MD5["mimii_dg"],
        )
    },
    "toyadmos": {
        "all": Part(
            3351307,
            "{}.7z",
            ("ToyCar", "ToyConveyor", "ToyTrain"),
            volumes={"ToyCar": 8, "ToyConveyor": 7, "ToyTrain": 9},
            md5=MD5["toyadmos"],
        )
    },
}
