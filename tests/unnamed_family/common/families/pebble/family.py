"""The record of Pebble."""

from common.families import Family
from common.families.pebble import samples
from common.families.pebble.initial_weights import initial_weight
from common.families.pebble.losses import compute_losses
from common.families.pebble.prediction import find_instances, run_stages
from common.families.pebble.settings import PebbleSettings
from common.results import INSTANCES

FAMILY = Family(
    network="Pebble",
    settings=PebbleSettings,
    samples=samples,
    losses=compute_losses,
    predict=find_instances,
    stages=run_stages,
    results=lambda settings: INSTANCES,
    initial_weight=initial_weight,
)
