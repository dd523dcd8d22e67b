{{ exp_platform.experiment('checkout', start='2026-03-02', end='2026-03-09', watermark='2026-03-12') }}
