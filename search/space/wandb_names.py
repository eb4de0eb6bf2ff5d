"""What sweep files call our settings, their values and our metrics: tables that grow.

Names are compared in lower case with ``_`` between words: `learningRate`, `learning-rate` and
`optimizer.learning_rate` are `learning_rate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from facesiam.config import SETTINGS, Value

NAMES: dict[str, str] = {
    "augment": "augmentation aug use_augmentation data_augmentation",
    "batch_size": "batch bs batchsize train_batch_size train_bs mini_batch_size "
    "per_device_train_batch_size",
    "colour": "color color_jitter colour_jitter jitter",
    "dropout": "dropout_rate drop_rate dropout_prob dropout_p use_dropout",
    "embedding": "embedding_size embedding_dim embed_dim embed_size emb_dim emb_size feature_dim "
    "projection_dim latent_dim",
    "epochs": "epoch n_epochs num_epochs nb_epochs max_epochs num_train_epochs train_epochs "
    "total_epochs",
    "erase": "erasing random_erasing random_erase erasing_prob random_erasing_prob reprob",
    "flip": "hflip horizontal_flip random_flip flip_prob random_horizontal_flip",
    "freeze_batchnorm": "freeze_bn freeze_batch_norm",
    "hidden": "hidden_size hidden_dim hidden_units fc_layer_size fc_size fc_dim num_hidden "
    "n_hidden",
    "image_size": "img_size input_size input_resolution resolution imgsz",
    "images_per_person": "instances_per_class samples_per_class images_per_class num_instances",
    "join": "merge similarity similarity_metric distance_metric distance_function",
    "label_smoothing": "smoothing label_smooth",
    "loss": "loss_fn loss_function loss_type loss_name criterion objective",
    "loss_scale": "scale arcface_scale cosface_scale logit_scale",
    "lr": "learning_rate learningrate base_lr init_lr initial_lr lr_init max_lr peak_lr lr0",
    "margin": "loss_margin triplet_margin contrastive_margin arcface_margin arc_margin",
    "mining": "miner mining_type mining_strategy triplet_mining",
    "momentum": "sgd_momentum",
    "net": "model backbone arch architecture encoder network base_model model_name model_type "
    "model_arch backbone_name encoder_name feature_extractor cnn",
    "optimizer": "optim opt optimiser optimizer_name optimizer_type optim_name optim_type solver",
    "pretrained": "use_pretrained imagenet_pretrained imagenet",
    "rotate": "rotation rotation_degrees random_rotation rotation_range max_rotation degrees",
    "schedule": "scheduler lr_scheduler lr_schedule lr_policy scheduler_type scheduler_name "
    "lr_scheduler_type",
    "seed": "random_seed random_state manual_seed",
    "shift": "translate translation",
    "stochastic_depth": "drop_path drop_path_rate stochastic_depth_prob",
    "warmup": "warmup_ratio warmup_fraction warmup_proportion warmup_share",
    "weight_decay": "wd decay weightdecay l2 l2_reg l2_regularization l2_lambda",
}
"""Settings, and what else they are called."""
VALUES: dict[str, dict[str, Value]] = {
    "augment": {"none": False},
    "dropout": {"0": False, "0.0": False, "0.5": True},
    "flip": {"0": False, "0.0": False, "0.5": True, "1": True},
    "freeze_batchnorm": {"0": False, "1": True},
    "join": {"l1": "difference", "abs": "difference", "l2": "distance", "euclidean": "distance"},
    "loss": {
        "bce": "single",
        "binary_cross_entropy": "single",
        "ce": "single",
        "cross_entropy": "single",
        "contrastive_loss": "contrastive",
        "triplet_loss": "triplet",
        "triplet_margin": "triplet",
        "triplet_margin_loss": "triplet",
        "arc_face": "arcface",
        "sub_center_arcface": "subcenter_arcface",
        "ada_face": "adaface",
        "cos_face": "cosface",
        "supervised_contrastive": "supcon",
    },
    "mining": {"none": "all", "batch_all": "all", "batch_hard": "hard", "semi_hard": "semihard"},
    "net": {"convnext": "convnext_tiny", "mobilenet_v3": "mobilenet_v3_large"},
    "optimizer": {"momentum": "sgd", "sgd_momentum": "sgd", "nesterov": "sgd", "adam_w": "adamw"},
    "precision": {"32": "fp32", "bf16_mixed": "bf16", "bfloat16": "bf16", "float32": "fp32"},
    "pretrained": {"imagenet": True, "0": False, "1": True},
    "schedule": {
        "none": "constant",
        "fixed": "constant",
        "cosine_annealing": "cosine",
        "cosine_annealing_lr": "cosine",
        "cosine_decay": "cosine",
        "one_cycle": "onecycle",
        "one_cycle_lr": "onecycle",
    },
}
"""Words for a setting's values, by setting."""
METRICS: dict[str, str] = {
    "val_acc": "val_accuracy validation_accuracy validation_acc valid_acc valid_accuracy eval_acc "
    "eval_accuracy dev_accuracy best_val_acc best_val_accuracy accuracy acc test_acc "
    "test_accuracy",
    "val_auc": "val_roc_auc validation_auc valid_auc eval_auc val_auroc auc roc_auc auroc "
    "test_auc",
    "val_tpr_at_fpr": "val_tar_at_far tpr_at_fpr tar_at_far eval_tpr_at_fpr test_tpr_at_fpr",
    "val_loss": "validation_loss valid_loss eval_loss dev_loss best_val_loss test_loss",
    "train_acc": "train_accuracy training_accuracy training_acc",
    "train_loss": "training_loss loss",
}
"""Our metrics, and what else they are called."""
SWEEP_KEYS: dict[str, str] = {
    "apiVersion": "of W&B's own",
    "command": "the trainer here takes its settings from the space file, not from a command line",
    "controller": "the driver of the search, search.run, chooses the trials itself",
    "description": "the space file is described by its comments",
    "entity": "a run is a folder here; who owns it in W&B is said where it is logged there",
    "image_uri": "workers are started by Ray",
    "job": "workers are started by Ray",
    "kind": "of W&B's own",
    "metrics": "a search has one metric",
    "program": "the trainer is this package's own",
    "project": "a run is a folder here; its project in W&B is said where it is logged there",
    "scheduler": "the driver of the search, search.run, chooses the trials itself",
}
"""Keys of a sweep that a space file has nothing for, and why."""
PARAMETERS: dict[str, str] = {
    "beta": "Adam has betas 0.9 and 0.999",
    "beta1": "Adam has betas 0.9 and 0.999",
    "beta2": "Adam has betas 0.9 and 0.999",
    "betas": "Adam has betas 0.9 and 0.999",
    "clip_norm": "gradients are not clipped",
    "data": "say it as data:, or by --data",
    "data_dir": "say it as data:, or by --data",
    "data_path": "say it as data:, or by --data",
    "dataset": "say it as data:, or by --data",
    "eval_batch_size": "validation pairs come in batches of the trainer's own size",
    "test_batch_size": "validation pairs come in batches of the trainer's own size",
    "val_batch_size": "validation pairs come in batches of the trainer's own size",
    "device": "Ray gives each trial its device",
    "early_stopping": "the rule plateau of prune: stops trials without progress",
    "gamma": "the schedules constant, cosine and onecycle have none",
    "gpus": "say it under resources:",
    "grad_clip": "gradients are not clipped",
    "gradient_accumulation_steps": "a batch is one update",
    "head_lr": "ours is a multiple of lr, not a rate",
    "num_workers": "images are packed once and read by all trials",
    "patience": "of prune: plateau: {patience: N}",
    "step_size": "the schedules constant, cosine and onecycle have none",
    "temperature": "say it as loss_scale, which is 1 / temperature",
    "warmup_epochs": "warmup is a share of all updates here: give warmup, such as 0.1",
    "warmup_steps": "warmup is a share of all updates here: give warmup, such as 0.1",
    "workers": "images are packed once and read by all trials",
}
"""Parameters of sweeps that are no setting, and why."""


def plain(name: object) -> str:
    """Return a name in lower case with ``_`` between its words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[a-z]{2})(?=[A-Z]{2})", "_", str(name).strip())
    return re.sub(r"[^a-z0-9.]+|\.(?!\d)|(?<!\d)\.", "_", words.lower()).strip("_")


def _by_name(table: Mapping[str, str]) -> dict[str, str]:
    return {name: ours for ours, names in table.items() for name in [ours, *names.split()]}


_SETTINGS = {name: name for name in SETTINGS} | _by_name(NAMES)
_METRICS = _by_name(METRICS)


def setting_of(path: str) -> str | None:
    """Return the setting that a parameter is; None where it is none.

    Args:
        path: its name, after those of the parameters that it is nested in, with dots between.
    """
    known = next((n for n in _endings(path) if n in _SETTINGS or n in PARAMETERS), "")
    return _SETTINGS.get(known)


def why_not(path: str) -> str:
    """Return why a parameter is no setting."""
    known = next((PARAMETERS[name] for name in _endings(path) if name in PARAMETERS), None)
    return known or "no setting has this meaning"


def metric_of(name: str) -> str | None:
    """Return the metric of each epoch that a sweep's metric is; None where it is none."""
    return _METRICS.get(plain(name))


def value_of(setting: str, text: str) -> Value | None:
    """Return the value of a setting that a word stands for; None where it is no such word."""
    if text in SETTINGS[setting].choices:
        return text
    word = plain(text)
    found = VALUES.get(setting, {}).get(word)
    if found is not None:
        return found
    bare = {choice.replace("_", ""): choice for choice in SETTINGS[setting].choices}
    return bare.get(word.replace("_", ""))


def _endings(path: str) -> Iterable[str]:
    """Yield a dotted name with ever fewer of the names before its last."""
    parts = path.split(".")
    return (plain("_".join(parts[start:])) for start in range(len(parts)))
