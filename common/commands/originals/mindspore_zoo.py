"""The options of the train.py and eval.py of PointRend in MindSpore's zoo, and the words of its scripts.

Each key of its default_config.yaml is an option there. Its scripts call the paths DATA_PATH, MINDRECORD_PATH,
PRETRAINED_PATH and CHECKPOINT_PATH. --dataset, --momentum and --weight_decay are YOLACT's, too, and stand there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.commands.arguments import at_least, truth
from common.commands.options import Also, Argument, Instead, Setting, Silent
from common.commands.originals import Original
from common.data.packed import PackedSource

_MODEL = "point_rend_r50_fpn_mindspore"
_RECORD = ("--mindrecord_path", "--mindrecord_dir")
_OWN = (*_RECORD, "--coco_root", "--not_mask", "--pretrained_path", "--checkpoint_path")  # no other original has these
_FALSE = ("false", "no", "0", "")


def _assumed(words: Sequence[str]) -> list[tuple[str, Any]]:
    """The model of a command with words of the zoo's, which name none, and the record as the data to train on."""
    given = {word.partition("=")[0] for word in words}
    found: list[tuple[str, Any]] = [("model", _MODEL)] if given & set(_OWN) else []
    return [*found, ("data", None)] if given & set(_RECORD) else found


def _variant(text: str) -> str:
    return "index" if truth(text) else "mask"


_IN_STEPS = "training is counted in steps of a batch, of which an epoch has images / batch size: --iterations N"
_SETTINGS = (
    "sizes, thresholds and weights are settings of the model, words of the form key.path=value such as"
    " rpn.nms_threshold=0.7: see {train} --help"
)
_COMMON = (
    Also(("--data_path", "--coco_root"), "--data"),
    Setting(("--not_mask",), "variant", _variant),
    Instead(("--device_id",), "a card is chosen by CUDA_VISIBLE_DEVICES=N before the command", harmless=("0",)),
    Silent(("--device_target",), "--device says on what it runs, by default on the best there is", takes_value=True),
    Silent(("--do_train", "--do_eval"), "each is a command of its own", takes_value=True),
    Silent(("--rank_id", "--dataset_sink_mode_flag", "--load_path", "--checkpoint_file"), "unused", takes_value=True),
    Instead(
        ("--run_distribute",),
        "one process a device is started by the framework's launcher, which tells each its rank",
        harmless=_FALSE,
    ),
    Instead(("--device_num",), "the framework's launcher says how many processes there are", harmless=("1",)),
    Instead(("--ann_file", "--instance_set"), "annotations are found in --data ROOT"),
    Instead(("--train_data_type",), "the training part of --data ROOT is train2017 or train", harmless=("train2017",)),
    Instead(("--val_data_type",), "the validation part of --data ROOT is val2017 or val", harmless=("val2017",)),
    Instead(
        ("--enable_modelarts", "--need_modelarts_dataset_unzip", "--data_url", "--train_url", "--checkpoint_url"),
        "nothing is fetched from ModelArts: unpack the data and name their folder as --data ROOT",
        harmless=_FALSE,
    ),
    Silent(("--modelarts_dataset_unzip_name",), "nothing is unpacked", takes_value=True),
    Instead(("--enable_profiling",), "there is no profiler here", harmless=_FALSE),
    Instead(
        ("--ckpt_file", "--file_name", "--file_format", "--batch_size_export", "--img_path", "--result_path"),
        "networks are not exported; python -m weights_convert writes weights for each framework",
    ),
    Instead(("--coco_classes", "--num_classes"), "the classes are those of --data ROOT"),
    Instead(("--img_width",), "preprocessing.long_side=VALUE", harmless=("1280",)),
    Instead(("--img_height",), "preprocessing.short_side=VALUE", harmless=("768",)),
    Instead(("--keep_ratio",), "images keep their ratio of height and width", harmless=("true",)),
    Instead(("--max_instance_count",), "an image may have any number of objects", harmless=("128",)),
    Instead(
        (
            *("--mask_shape", "--num_anchors", "--fpn_out_channels", "--fpn_num_outs", "--rpn_in_channels"),
            *("--rpn_feat_channels", "--rpn_loss_cls_weight", "--rpn_loss_reg_weight", "--rpn_cls_out_channels"),
            *("--neg_iou_thr", "--pos_iou_thr", "--min_pos_iou", "--num_bboxes", "--num_gts", "--num_expected_neg"),
            *("--num_expected_pos", "--activate_num_classes", "--use_sigmoid_cls", "--roi_layer"),
            *("--roi_align_out_channels", "--roi_align_finest_scale", "--roi_sample_num", "--neg_iou_thr_stage2"),
            *("--pos_iou_thr_stage2", "--min_pos_iou_stage2", "--num_bboxes_stage2", "--num_expected_pos_stage2"),
            *("--num_expected_neg_stage2", "--num_expected_total_stage2", "--rcnn_num_layers", "--rcnn_in_channels"),
            *("--rcnn_fc_out_channels", "--rcnn_mask_out_channels", "--rcnn_loss_cls_weight", "--rcnn_loss_reg_weight"),
            *("--rcnn_loss_mask_fb_weight", "--rcnn_loss_mask_coarse_weight", "--rcnn_loss_mask_point_weight"),
            *("--rpn_proposal_nms_across_levels", "--rpn_proposal_nms_pre", "--rpn_proposal_nms_post"),
            *("--rpn_proposal_max_num", "--rpn_proposal_nms_thr", "--rpn_proposal_min_bbox_size"),
            *("--rpn_nms_across_levels", "--rpn_nms_pre", "--rpn_nms_post", "--rpn_max_num", "--rpn_nms_thr"),
            *("--rpn_min_bbox_min_size", "--rpn_head_use_sigmoid", "--rpn_head_weight", "--mask_thr_binary"),
            *("--test_score_thr", "--test_iou_thr", "--test_max_per_img"),
        ),
        _SETTINGS,
    ),
)

_TRAIN = (
    *_COMMON,
    Argument(
        _RECORD,
        "the record that `python -m mindspore_impl.mindrecord` has written there, in place of --data",
        lambda folder: {"data": PackedSource(folder)},
        type=Path,
    ),
    Also(("--pretrained_path", "--pre_trained"), "--weights"),
    Also(("--save_checkpoint_path", "--output_path"), "--output"),
    Setting(("--base_lr",), "schedule.learning_rate", float),
    Setting(("--warmup_step",), "schedule.warmup_iterations", at_least(0)),
    Setting(("--warmup_ratio",), "schedule.warmup_start", float),
    Setting(("--keep_checkpoint_max",), "schedule.checkpoints_kept", at_least(0)),
    Setting(("--flip_ratio",), "augmentation.flip", float),
    Instead(
        ("--expand_ratio",),
        "half of the images are put on a larger ground; augmentation.expansion=1 puts none on one",
        harmless=("1", "1.0"),
    ),
    Instead(
        ("--epoch_size", "--total_epoch", "--base_step", "--save_checkpoint_epochs", "--pretrain_epoch_size"), _IN_STEPS
    ),
    Instead(("--loss_scale",), "training computes in float32, whose losses need no scale", harmless=("1",)),
    Instead(("--save_checkpoint",), "a run always leaves checkpoints", harmless=("true",)),
    Silent(("--sgd_momentum", "--test_batch_size", "--checkpoint_path"), "unused in training", takes_value=True),
    Instead(
        ("--only_create_dataset",), "python -m mindspore_impl.mindrecord ROOT OUT writes the record", harmless=_FALSE
    ),
)

_EVALUATE = (
    *_COMMON,
    Also(("--checkpoint_path",), "--weights"),
    Also(("--test_batch_size",), "--batch-size"),
    Also(("--output_path",), "--output"),
    Silent(_RECORD, "images are read from --data ROOT", takes_value=True),
    Silent(
        (
            *("--pretrained_path", "--pre_trained", "--save_checkpoint_path", "--base_lr", "--momentum"),
            *("--weight_decay", "--warmup_step", "--warmup_ratio", "--keep_checkpoint_max", "--flip_ratio"),
            *("--expand_ratio", "--epoch_size", "--total_epoch", "--base_step", "--save_checkpoint_epochs"),
            *("--pretrain_epoch_size", "--loss_scale", "--save_checkpoint", "--sgd_momentum", "--only_create_dataset"),
        ),
        "of training alone",
        takes_value=True,
    ),
)

ORIGINAL = Original("MindSpore's zoo", {"train": _TRAIN, "evaluate": _EVALUATE}, assumed=_assumed)
