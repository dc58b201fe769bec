"""Mask2Former's own commands: its configuration files and the KEY VALUE pairs behind them."""

from pathlib import Path

import pytest
import yaml

from common.commands import evaluate, predict, train
from common.errors import UserError
from common.models import load_settings
from torch_impl.wing import WING

FOLDER = "configs/coco/panoptic-segmentation"
R50 = f"{FOLDER}/maskformer2_R50_bs16_50ep.yaml"
SWIN_T = f"{FOLDER}/swin/maskformer2_swin_tiny_bs16_50ep.yaml"
NAMES = {
    "maskformer2_R50_bs16_50ep": "r50",
    "maskformer2_R101_bs16_50ep": "r101",
    "maskformer2_swin_tiny_bs16_50ep": "swin_t",
    "maskformer2_swin_small_bs16_50ep": "swin_s",
    "maskformer2_swin_base_384_bs16_50ep": "swin_b",
    "maskformer2_swin_base_IN21k_384_bs16_50ep": "swin_b_in21k",
    "maskformer2_swin_large_IN21k_384_bs16_100ep": "swin_l",
}
# A network of the same kind as the published ones, whose other keys have their defaults.
OWN = {
    "MODEL": {
        "META_ARCHITECTURE": "MaskFormer",
        "BACKBONE": {"NAME": "D2SwinTransformer"},
        "SWIN": {"EMBED_DIM": 48, "NUM_HEADS": [3, 6, 12, 12], "DROP_PATH_RATE": 0.1},
        "SEM_SEG_HEAD": {
            "NAME": "MaskFormerHead",
            "IN_FEATURES": ["res2", "res3", "res4", "res5"],
            "NUM_CLASSES": 7,
            "CONVS_DIM": 64,
            "MASK_DIM": 64,
            "PIXEL_DECODER_NAME": "MSDeformAttnPixelDecoder",
            "TRANSFORMER_ENC_LAYERS": 2,
        },
        "MASK_FORMER": {
            "TRANSFORMER_IN_FEATURE": "multi_scale_pixel_decoder",
            "HIDDEN_DIM": 64,
            "DROPOUT": 0.0,
            "DEC_LAYERS": 4,
            "TEST": {"INSTANCE_ON": True},
        },
    },
    "INPUT": {"DATASET_MAPPER_NAME": "coco_instance_lsj", "FORMAT": "RGB", "RANDOM_FLIP": "none"},
    "SOLVER": {"STEPS": "(10, 20)", "MAX_ITER": 30, "CLIP_GRADIENTS": {"ENABLED": False}},
    "OUTPUT_DIR": "runs/own",
    "SEED": 3,
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(command, *words):
    """A command's arguments and settings."""
    arguments = command._parser(WING).read(list(map(str, words)))
    return arguments, load_settings(arguments.model, arguments.overrides)


def write(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("task", ["panoptic", "instance"])
@pytest.mark.parametrize("name", NAMES)
def test_a_published_file_is_known_by_its_path(name, task):
    path = f"configs/coco/{task}-segmentation/{'swin/' * ('swin' in name)}{name}.yaml"
    found, settings = read(train, "--config-file", path, "--data=d", "--output=o", "--weights=w")
    assert found.overrides == []
    assert settings.model == f"mask2former_{NAMES[name]}{'_instances' * (task == 'instance')}"


def test_rating_as_train_net_is_called():
    found, settings = read(
        evaluate,
        *("--config-file", SWIN_T, "--num-gpus", "1", "--eval-only", "--data", "d"),
        *("MODEL.WEIGHTS", "model_final_9fd0ae.pkl", "SOLVER.IMS_PER_BATCH", "2", "OUTPUT_DIR", "out"),
        *("MODEL.MASK_FORMER.TEST.OBJECT_MASK_THRESHOLD", "0.5", "MODEL.MASK_FORMER.TEST.SEMANTIC_ON", "False"),
    )
    assert (found.model, found.weights) == ("mask2former_swin_t", Path("model_final_9fd0ae.pkl"))
    assert (found.output, found.data) == (Path("out/inference"), Path("d"))
    assert (settings.schedule.batch_size, settings.detection.object_threshold) == (2, 0.5)


def test_training_as_train_net_is_called():
    words = ["--config-file", R50, "--data=d", "SOLVER.IMS_PER_BATCH", "2", "SOLVER.BASE_LR", "1.25e-5", "SEED", "-1"]
    words += ["OUTPUT_DIR", "runs/r50", "MODEL.WEIGHTS", "R-50.pkl", "INPUT.IMAGE_SIZE", "512", "MODEL.DEVICE", "cpu"]
    found, settings = read(train, *words)
    assert (found.output, found.weights, found.seed, found.device) == (Path("runs/r50"), Path("R-50.pkl"), 0, "cpu")
    assert (settings.schedule.batch_size, settings.schedule.learning_rate) == (2, 1.25e-5)
    assert settings.augmentation.size == 512
    with pytest.raises(UserError, match=r"--num-gpus: .*torchrun --nproc_per_node=N -m torch_impl\.train"):
        read(train, *words, "--num-gpus", "8")
    with pytest.raises(UserError, match=r"--eval-only: a trained model is rated by python -m torch_impl\.evaluate"):
        read(train, *words, "--eval-only")


def test_demo_as_it_is_called():
    words = ["--config-file", f"../{R50}", "--input", "a.jpg", "--output", "found", "--opts", "MODEL.WEIGHTS", "w.pkl"]
    found, settings = read(predict, *words, "MODEL.DEVICE", "cpu")
    assert (settings.model, found.image, found.output) == ("mask2former_r50", "a.jpg", Path("found"))
    assert (found.weights, found.device) == (Path("w.pkl"), "cpu")
    with pytest.raises(UserError, match=r"--input a\.jpg b\.jpg: give the folder"):
        read(predict, *words[:4], "b.jpg", *words[4:])


def test_data_are_looked_for_where_the_original_does(monkeypatch, tmp_path):
    words = ["--config-file", R50, "--output=o", "--weights=w.pkl"]
    with pytest.raises(UserError, match=r"DATASETS\.TRAIN: coco_2017_train_panoptic is looked for in datasets/coco"):
        read(train, *words)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    (tmp_path / "coco").mkdir()
    assert read(train, *words)[0].data == tmp_path / "coco"
    with pytest.raises(UserError, match=r"DATASETS\.TEST: ade20k_val is not the val part of COCO; give .*--data ROOT"):
        read(evaluate, *words, "DATASETS.TEST", "('ade20k_val',)")


def test_a_file_of_ones_own_on_a_published_one():
    write(R50, {"MODEL": {"META_ARCHITECTURE": "MaskFormer"}} | {"_BASE_": "Base.yaml"})
    write(f"{FOLDER}/Base.yaml", OWN)
    path = write(f"{FOLDER}/mine.yaml", {"_BASE_": Path(R50).name, "SOLVER": {"BASE_LR": 0.5}})
    found, settings = read(train, "--config-file", path, "--data=d", "--weights=w.pkl")
    assert (found.output, found.seed) == (Path("runs/own"), 3)
    assert (settings.model, settings.num_classes, settings.things) == ("mask2former_swin_t_instances", 7, 7)
    backbone = settings.network.backbone
    assert (backbone.width, backbone.heads, backbone.depths) == (48, (3, 6, 12, 12), (2, 2, 6, 2))
    assert (settings.network.channels, settings.network.encoder_layers, settings.network.decoder_layers) == (64, 2, 3)
    schedule = settings.schedule
    assert (schedule.steps, schedule.iterations, schedule.clip_norm, schedule.learning_rate) == (
        (10, 20),
        30,
        None,
        0.5,
    )
    # The original's own defaults, which the published files change.
    assert (settings.losses.mask_weight, settings.detection.overlap_threshold) == (20, 0)
    assert (schedule.warmup_iterations, schedule.warmup_start, settings.augmentation.flip) == (1000, 0.001, 0)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--config-file", R50], r"MODEL\.WEIGHTS: .*download https://dl\.fbaipublicfiles\.com/detectron2/ImageNet"),
        (["--config-file", SWIN_T], r"MODEL\.WEIGHTS: swin_tiny_patch4_window7_224\.pkl is not here; give ImageNet's"),
        (["--config-file", R50, "MODEL.WEIGHT", "w"], r"command line: unknown key MODEL\.WEIGHT; .* MODEL\.WEIGHTS"),
        (["--config-file", R50, "SOLVER.MAX_ITER", "x"], r"command line: SOLVER\.MAX_ITER: 'x' is not a whole number"),
        (
            ["--config-file", R50, "MODEL.MASK_FORMER.PRE_NORM", "True"],
            r"PRE_NORM: True is not implemented, only False",
        ),
        (["--config-file", R50, "MODEL.MASK_FORMER.HIDDEN_DIM", "128"], r"CONVS_DIM: 256 is implemented only where"),
        (["--config-file", R50, "MODEL.RESNETS.NORM", "SyncBN"], r"'SyncBN' is not implemented, only 'FrozenBN' is"),
        (["--config-file", "maskformer2_R50_bs16_160k.yaml"], r"config file not found: maskformer2_R50_bs16_160k"),
        ([R50], r"R50_bs16_50ep\.yaml is a file of Mask2Former; give it as --config-file"),
    ],
)
def test_what_is_wrong_is_named(words, line):
    with pytest.raises(UserError, match=line):
        read(train, *words, "--data=d", "--output=o")


def test_rating_needs_trained_weights():
    with pytest.raises(UserError, match=r"MODEL\.WEIGHTS: no trained model is given"):
        read(evaluate, "--config-file", SWIN_T, "--data=d")


def test_files_for_other_data_sets_are_refused():
    path = Path("maskformer2_R50_bs16_90k.yaml")
    path.write_text('INPUT:\n  MIN_SIZE_TRAIN: !!python/object/apply:eval ["[1]"]\n')
    with pytest.raises(UserError, match=r"R50_bs16_90k\.yaml: of Mask2Former's files those for COCO are known"):
        read(train, "--config-file", path, "--data=d", "--output=o")
    write(path, OWN | {"_BASE_": path.name})
    with pytest.raises(UserError, match="those for COCO are known"):  # it leads back to itself
        read(train, "--config-file", path, "--data=d", "--output=o")
    write("video_maskformer2_R50_bs16_8ep.yaml", {"MODEL": {"META_ARCHITECTURE": "VideoMaskFormer"}})
    with pytest.raises(UserError, match="VideoMaskFormer is not implemented, only MaskFormer is"):
        read(train, "--config-file", "video_maskformer2_R50_bs16_8ep.yaml", "--data=d", "--output=o")
