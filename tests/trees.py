"""Trees of files that are named as the published collections are: empty files, for tests of finding."""

from pathlib import Path

DCASE_2020 = [
    "fan/train/normal_id_00_00000000.wav",
    "fan/train/normal_id_00_00000001.wav",
    "fan/test/normal_id_00_00000000.wav",
    "fan/test/anomaly_id_00_00000000.wav",
    "ToyCar/train/normal_id_01_00000000.wav",
    "ToyCar/test/id_05_00000000.wav",  # of the evaluation set
]


def of_sections(machine: str, sections, *, attributes: str = "_vel_6", first: int = 0) -> list[str]:
    """Development set from 2022 on, in small: of each section 3 + 1 training and 4 test clips."""
    names = []
    for nn in sections:
        names += [f"train/section_{nn:02}_source_train_normal_{first + i:04}{attributes}.wav" for i in range(3)]
        names += [f"train/section_{nn:02}_target_train_normal_{first:04}{attributes}.wav"]
        for domain in ("source", "target"):
            for label in ("normal", "anomaly"):
                names.append(f"test/section_{nn:02}_{domain}_test_{label}_{first:04}{attributes}.wav")
    return [f"{machine}/{name}" for name in names]


DCASE_2021 = [
    *(f"gearbox/train/section_00_source_train_normal_{i:04}_g_00_mm_{i}.wav" for i in range(3)),
    "gearbox/train/section_00_target_train_normal_0000_g_28_mm_none.wav",
    "gearbox/train/section_03_source_train_normal_0000_strength_1_ambient.wav",  # three words
    "gearbox/source_test/section_00_source_test_normal_0000.wav",
    "gearbox/source_test/section_00_source_test_anomaly_0000.wav",
    "gearbox/target_test/section_00_target_test_normal_0000.wav",
    "gearbox/target_test/section_00_target_test_anomaly_0000.wav",
    "gearbox/source_test/section_03_source_test_0000.wav",  # evaluation: domain known, label hidden
    "gearbox/target_test/section_03_target_test_0199.wav",
]
DCASE_2022 = [
    *of_sections("bearing", (0, 1, 2)),
    "bearing/attributes_00.csv",
    "fan/train/section_03_source_train_normal_0000_m-n_W.wav",
    "fan/test/section_03_0000.wav",
    "fan/test/section_03_test_0001.wav",  # both ways of writing are about
    "fan/attributes_03.csv",
]
DCASE_2023 = [*of_sections("ToyTrain", (0,)), "Vacuum/test/section_00_0199.wav"]
DCASE_2024 = [*of_sections("slider", (0,), attributes="_noAttribute", first=1), "3DPrinter/test/section_00_0200.wav"]
DCASE_2025 = [
    *of_sections("ToyCar", (0,), attributes="_car_A2_spd_28V_mic_1_noise_1"),
    "ToyCar/supplemental/section_00_source_supplemental_machine_0000.wav",
    "bearing/supplemental/section_00_machine_source_0000_noAttribute.wav",
    "fan/supplemental/section_00_machine_0001_.wav",
    "fan/supplemental/section_00_noise_supplemental_normal_0000.wav",
    "fan/supplemental/whatever.wav",
]
DCASE_2026 = [f"fan/test/section_00_{d}_test_{w}_{i:04}_noAttribute.wav" for i, (d, w) in enumerate(
    (d, w) for d in ("source", "target") for w in ("normal", "anomaly"))] + [
    "fan/train/section_00_source_train_normal_0000_noAttribute.wav", "Sander/test/section_00_0000.wav"]  # fmt: skip
MIMII = [
    f"{snr}_dB_fan/fan/id_{nn}/{kind}/{i:08}.wav"
    for snr in ("-6", "0", "6")
    for nn in ("00", "02")
    for kind, n in (("normal", 5), ("abnormal", 2))
    for i in range(n)
]
MIMII_DUE = [name for name in DCASE_2021 if "_03_" not in name]
MIMII_DG = of_sections("valve", (0, 1, 2), attributes="_pat_00")
TOYADMOS = [
    *(
        f"ToyCar/case1/NormalSound_IND/110001{i:04}_ToyCar_case1_normal_IND_ch{c}_{i:04}.wav"
        for c in (1, 2)
        for i in range(1, 6)
    ),
    *(f"ToyCar/case1/AnomalousSound_IND/11010100{c}{i}_ToyCar_case1_ab01_IND_ch{c}_{i:04}.wav" for c in (1, 2) for i in (1, 2)),
    "ToyCar/case1/NormalSound_CNT/1100110001_ToyCar_case1_normal_CNT_ch1_0001.wav",
    "ToyCar/EnvironmentalNoise_CNT/1900010001_ToyCar_caseAll_noise_CNT_ch1_0001.wav",
]
TOYADMOS2 = [
    *(f"toyad2_car_A1_normal/CN001-carA1-speed1_mic{m}_{i:05}.mp4" for m in (1, 2) for i in range(1, 5)),
    *(f"toyad2_car_A_anomaly/CA001-carA1-speed1-a-damageL_mic{m}_00001.mp4" for m in (1, 2)),
    "ToyCar/env_noise/N1_mic3_01595.mp4",
]


def touched(root: Path, names) -> list[Path]:
    """Empty files of these names below ``root``."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]
