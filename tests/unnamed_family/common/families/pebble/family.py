"""The record of Pebble."""

from common.families import Family
from common.families.pebble import samples
from common.families.pebble.initial_weights import initial_weight
from common.families.pebble.losses import compute_losses
from common.families.pebble.prediction import find_instances, run_stages
from common.families.pebble.settings import PebbleSettings

FAMILY = Family(
    network="Pebble",
    settings=PebbleSettings,
    samples=samples,
    losses=compute_losses,
    predict=find_instances,
    stages=run_stages,
    initial_weight=initial_weight,
)
