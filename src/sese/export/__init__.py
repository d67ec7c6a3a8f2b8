"""From a trained network to the one artefact that the runtime takes."""
