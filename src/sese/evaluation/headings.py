"""Names of the columns of results, as tables and plots show them."""

from __future__ import annotations

HEADINGS = {
    "pesq_wb": ("PESQ-WB", 2),
    "predicted_pesq": ("predicted PESQ", 2),
    "stoi": ("STOI", 3),
    "estoi": ("ESTOI", 3),
    "si_sdr": ("SI-SDR (dB)", 1),
    "speech_si_sdr": ("SI-SDR of speech (dB)", 1),
    "pause_dbfs": ("level in pauses (dBFS)", 1),
    "onset_loss_db": ("onset loss (dB)", 1),
    "dnsmos_ovrl": ("DNSMOS OVRL", 2),
    "dnsmos_sig": ("DNSMOS SIG", 2),
    "dnsmos_bak": ("DNSMOS BAK", 2),
    "dnsmos_p808": ("DNSMOS P.808", 2),
}
"""Column of a result -> heading and decimals."""

COMPUTE = ("share of compute", "MMAC/s", "RTF")
"""Headings of the compute of a level."""
