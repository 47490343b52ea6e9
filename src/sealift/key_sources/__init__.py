"""Where customer keys are read from: `gathering` asks all places, the others are one each."""
