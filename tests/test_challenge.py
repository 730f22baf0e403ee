"""The official scores against the evaluators' formulae, written anew with scikit-learn, and against published tables."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from asdlib.challenge import FORMULAE, lacking, official_mean, official_parts, official_score, usual_kind
from asdlib.errors import AsdError


def expected(clips, kind):
    """From the definitions: a loop over machines, and scikit-learn."""
    floor = sys.float_info.epsilon

    def area(rows, **options):
        return roc_auc_score(rows.label == "anomaly", rows.score, **options)

    if kind == "arithmetic":
        by_type = {}
        for machine, rows in clips.groupby("machine"):
            by_type.setdefault(machine.split("/")[0], []).append((area(rows), area(rows, max_fpr=0.1)))
        return np.mean([np.mean(ids, axis=0) for ids in by_type.values()])
    values = []
    for _, rows in clips.groupby("machine"):
        if kind == "mixed":
            values.append(area(rows, max_fpr=0.1))
        for domain in ("source", "target"):
            if kind == "mixed":
                values.append(area(rows[(rows.domain == domain) | (rows.label == "anomaly")]))
            else:
                own = rows[rows.domain == domain]
                values += [area(own), area(own, max_fpr=0.1)]
    return hmean(np.maximum(values, floor))


def simulated(rng, machines, sizes, ties):
    """Clips of each machine, domain and label, as many as ``sizes`` says; with ``ties``, scores are few whole numbers."""
    rows = []
    for machine in machines:
        for (label, domain), n in zip(
            ((a, b) for a in ("normal", "anomaly") for b in ("source", "target")), sizes, strict=True
        ):
            scores = rng.normal((label == "anomaly") + 0.5 * (domain == "target"), 1, n)
            rows += [(machine, label, domain, s) for s in (scores.round() if ties else scores)]
    table = pd.DataFrame(rows, columns=["machine", "label", "domain", "score"])
    return table.sample(frac=1, random_state=int(rng.integers(1000)))


MACHINES = ["fan/section_00", "fan/section_01", "valve/section_00"]


@pytest.mark.parametrize("kind", FORMULAE)
@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 3),
    sizes=st.tuples(*[st.integers(1, 30)] * 4),
    ties=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_scores_are_those_of_the_evaluators_formulae(kind, count, sizes, ties, seed):
    clips = simulated(np.random.default_rng(seed), MACHINES[:count], sizes, ties)
    assert lacking(clips, kind) == []
    assert official_score(clips, kind) == pytest.approx(expected(clips, kind), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(sizes=st.tuples(*[st.integers(0, 3)] * 4), seed=st.integers(0, 99), kind=st.sampled_from(list(FORMULAE)))
def test_a_score_is_given_where_the_formula_can_be_computed_and_nowhere_else(sizes, seed, kind):
    assume(any(sizes))
    clips = simulated(np.random.default_rng(seed), ["fan/section_00"], sizes, ties=False)
    ns, nt, sa, ta = sizes
    whole = {"arithmetic": ns + nt and sa + ta, "harmonic": ns and nt and sa and ta, "mixed": ns and nt and sa + ta}[kind]
    assert (lacking(clips, kind) == []) == bool(whole)
    if whole:
        assert official_score(clips, kind) == pytest.approx(expected(clips, kind))
    else:
        with pytest.raises(AsdError, match=r"fan/section_00 has no (normal|anomalous) clip"):
            official_score(clips, kind)


def test_one_machine_by_hand():
    """Target normals score high: they lie above one of the two anomalies, one of each domain."""
    rows = [("normal", "source", 1.0), ("normal", "source", 2.0), ("normal", "target", 4.0)]
    rows += [("anomaly", "source", 3.0), ("anomaly", "target", 5.0)]
    clips = pd.DataFrame([("fan/section_00", *row) for row in rows], columns=["machine", "label", "domain", "score"])
    parts = official_parts(clips, "mixed").loc["fan/section_00"]
    # pAUC: half of the anomalies above all normals, so an area of 0.05 of 0.1, after McClish
    mcclish = 0.5 * (1 + (0.05 - 0.005) / (0.1 - 0.005))
    assert parts.to_dict() == pytest.approx({"auc_source": 1.0, "auc_target": 0.5, "pauc": mcclish})
    apart = official_parts(clips, "harmonic").loc["fan/section_00"]
    assert apart.to_dict() == pytest.approx(dict.fromkeys(FORMULAE["harmonic"].parts, 1.0))
    assert official_parts(clips, "arithmetic").loc["fan/section_00"].to_dict() == pytest.approx({"auc": 5 / 6, "pauc": mcclish})


# The evaluator's table for 2023, both baselines: AUC source, AUC target, pAUC of bandsaw, grinder, shaker, ToyDrone, ToyNscale,
# ToyTank and Vacuum, rounded here; then the three harmonic means and the official score.
PUBLISHED = {
    "MSE": (
        [0.666735, 0.706837, 0.694290, 0.796800, 0.770000, 0.721200, 0.881600],
        [0.482877, 0.551657, 0.560412, 0.561000, 0.471600, 0.646800, 0.453200],
        [0.509109, 0.584617, 0.549165, 0.536842, 0.517895, 0.582632, 0.594737],
        (0.742349, 0.525383, 0.551742, 0.592547),
    ),
    "MAHALA": (
        [0.836434, 0.740941, 0.847660, 0.813000, 0.667800, 0.801200, 0.838400],
        [0.588584, 0.506823, 0.629953, 0.462200, 0.409000, 0.453200, 0.900600],
        [0.575359, 0.595529, 0.623331, 0.514211, 0.508947, 0.538421, 0.653158],
        (0.787114, 0.530909, 0.568210, 0.610508),
    ),
}


@pytest.mark.parametrize("baseline", PUBLISHED)
def test_published_tables_of_2023_have_the_published_score(baseline):
    *columns, (source, target, partial, score) = PUBLISHED[baseline]
    parts = pd.DataFrame(dict(zip(("auc_source", "auc_target", "pauc"), columns, strict=True)))
    assert official_mean(parts, "mixed") == pytest.approx(score, abs=2e-6)
    means = pd.DataFrame({"auc_source": [source], "auc_target": [target], "pauc": [partial]})
    assert official_mean(means, "mixed") == pytest.approx(score, abs=2e-6)  # of the columns' means it is the same


def test_the_published_columns_of_the_autoencoder_of_2023():
    means = pd.DataFrame({"auc_source": [0.74235], "auc_target": [0.52538], "pauc": [0.55174]})
    assert official_mean(means, "mixed") == pytest.approx(0.59255, abs=5e-6)


def test_an_auc_of_0_counts_as_epsilon():
    parts = pd.DataFrame({"auc_source": [0.0], "auc_target": [1.0], "pauc": [1.0]})
    assert official_mean(parts, "mixed") == pytest.approx(3 * sys.float_info.epsilon, rel=1e-12)


def test_the_arithmetic_mean_is_over_ids_then_types():
    parts = pd.DataFrame(
        {"auc": [1.0, 0.8, 0.5], "pauc": [0.9, 0.7, 0.6]},
        index=["fan/id_00", "fan/id_02", "ToyCar/id_01"],
    )
    assert official_mean(parts, "arithmetic") == pytest.approx(((0.9 + 0.5) / 2 + (0.8 + 0.6) / 2) / 2)


def table(*rows):
    return pd.DataFrame(rows, columns=["machine", "label", "domain", "score"])


WHOLE = [
    ("fan/section_00", "normal", "source", 1.0),
    ("fan/section_00", "normal", "target", 2.0),
    ("fan/section_00", "anomaly", "source", 3.0),
    ("fan/section_00", "anomaly", "target", 4.0),
]


def test_a_machine_that_lacks_something_is_named_and_not_dropped():
    clips = table(*WHOLE, ("pump/section_00", "normal", "source", 1.0), ("pump/section_00", "anomaly", "source", 2.0))
    assert lacking(clips, "mixed") == ["pump/section_00 has no normal clip of the target domain"]
    assert lacking(clips, "harmonic") == [
        "pump/section_00 has no normal clip of the target domain, no anomalous clip of the target domain"
    ]
    assert lacking(clips, "arithmetic") == []
    with pytest.raises(
        AsdError, match=r"no official score of 2022-2026 \(mixed\), pump/section_00 has no normal clip of the t"
    ):
        official_score(clips, "mixed")


def test_clips_that_nobody_can_place_are_a_reason():
    clips = table(
        *WHOLE,
        ("fan/section_00", "normal", "unknown", 1.0),
        ("fan/section_00", "anomaly", "unknown", 1.0),
        ("fan/section_00", "unknown", "source", 1.0),
    )
    unlabelled = "fan/section_00 has clips of unknown label (1)"
    assert lacking(clips, "arithmetic") == [unlabelled]
    assert lacking(clips, "mixed") == [unlabelled + ", normal clips of unknown domain (1)"]
    assert lacking(clips, "harmonic") == [
        unlabelled + ", normal clips of unknown domain (1), anomalous clips of unknown domain (1)",
    ]


def test_a_machine_without_any_label_is_not_judged():
    clips = table(*WHOLE, ("fan/section_03", "unknown", "unknown", 9.0), ("fan/section_03", "unknown", "source", 9.0))
    assert list(official_parts(clips, "mixed").index) == ["fan/section_00"]
    assert official_score(clips, "mixed") == official_score(table(*WHOLE), "mixed") == 1.0
    with pytest.raises(AsdError, match="no clip is known to be normal or anomalous"):
        official_score(clips[4:], "mixed")


def test_the_kind_follows_from_the_domains():
    assert usual_kind(table(*WHOLE)) == usual_kind(table(*WHOLE[:1])) == "mixed"
    assert usual_kind(table(*WHOLE).assign(domain="unknown")) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "abnormal"}, "4 of 4 clips are labelled 'abnormal': write normal, anomaly or unknown"),
        ({"label": [None, "normal", "anomaly", "anomaly"]}, "1 of 4 clips are labelled"),
        ({"domain": ["source", "target", None, "target"]}, "domain 'nan': write source, target or unknown"),
        ({"domain": "Target"}, "domain 'Target': write source, target or unknown"),
        ({"score": [1.0, 2.0, np.nan, np.inf]}, "2 of 4 scores of fan/section_00 are not finite"),
    ],
)
def test_values_that_do_not_belong_there_are_refused(change, message):
    with pytest.raises(AsdError, match=message):
        official_score(table(*WHOLE).assign(**change), "mixed")


def test_a_table_without_domains_has_unknown_ones():
    clips = table(*WHOLE).drop(columns="domain")
    assert official_score(clips, "arithmetic") == 1.0
    assert lacking(clips, "mixed") == [
        "fan/section_00 has no normal clip of the source domain, no normal clip of the target domain, "
        "normal clips of unknown domain (2)"
    ]
    for column in ("machine", "label"):
        with pytest.raises(AsdError, match=f"no column {column}"):
            lacking(clips.drop(columns=column), "arithmetic")
    with pytest.raises(AsdError, match="no column score"):
        official_score(clips.drop(columns="score"), "arithmetic")


def test_categories_and_numpy_strings_are_text():
    plain = table(*WHOLE)
    texts = ["machine", "label", "domain"]
    as_categories = plain.astype(dict.fromkeys(texts, "category"))
    as_numpy = plain.assign(**{name: np.array(plain[name], dtype=object).astype(np.str_) for name in texts})
    for other in (as_categories, as_numpy):
        assert official_score(other, "mixed") == official_score(plain, "mixed")


def test_a_kind_or_a_table_of_another_shape_is_refused():
    with pytest.raises(AsdError, match="no official score 'geometric': choose one of arithmetic, harmonic, mixed"):
        official_score(table(*WHOLE), "geometric")
    with pytest.raises(AsdError, match="no column auc_target"):
        official_mean(pd.DataFrame({"auc_source": [0.5], "pauc": [0.5]}), "mixed")
    for wrong in ([59.3], [np.nan], [-0.1], []):
        with pytest.raises(AsdError, match="numbers from 0 to 1"):
            official_mean(pd.DataFrame(dict.fromkeys(("auc", "pauc"), wrong)), "arithmetic")
