{{ exp_platform.variants('checkout', {'old': 0.5, 'new': 0.5}, control='old') }}
