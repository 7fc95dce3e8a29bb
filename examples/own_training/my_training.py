"""A network and an objective of one's own: which of four ways is a picture turned? (Gidaris et al. 2018, ICLR)"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.training.objectives.objective import Objective, Outcome


def build(width):
    sizes = ((3, width), (width, 2 * width), (2 * width, 4 * width))
    layers = [nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in sizes]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Turns(Objective):
    loss_is, unit = "cross-entropy of four turns", "nats"

    def __init__(self, setting):
        super().__init__(setting)
        self.turn = nn.Linear(setting.n_features, 4)

    def prepare(self, pictures, labels, generator, *, training):
        turns = torch.randint(0, 4, (len(pictures),), generator=generator)
        turned = torch.stack([picture.rot90(int(n), (0, 1)) for picture, n in zip(pictures, turns, strict=True)])
        return self.plain(turned), turns.to(pictures.device)

    def loss(self, encoder, pictures, turns):
        features = encoder(pictures)
        return Outcome(cross_entropy(self.turn(features).float(), turns, reduction="none"), features)
