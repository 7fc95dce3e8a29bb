"""One tiny video training by the command's own way, in a process that is killed right after a checkpoint.

``python -m tests.training.video.tiny_video_training STEP``, in the folder that it trains in.
"""

import os
import signal
import sys

from pipeline.training.checkpoints import Checkpoints
from pipeline.training.stage import train_network
from tests.training.video.conftest import recipe_of

if __name__ == "__main__":
    write = Checkpoints.write

    def written(self, checkpoint):
        place = write(self, checkpoint)
        if checkpoint.step == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return place

    Checkpoints.write = written
    train_network(recipe_of(), 0, device="cpu")
