# Cost of looking: maximum and expected sample size over one with a single test, by rpact.
# Debian packages: r-cran-rpact, r-cran-jsonlite.
suppressMessages(library(rpact))
library(jsonlite)

cases <- list()
for (type in c("asOF", "asP", "asKD")) {
  for (looks in c(2, 5, 20)) {
    for (sided in c(1, 2)) {
      for (beta in c(0.2, 0.1)) {
        alpha <- if (sided == 1) 0.025 else 0.05
        design <- getDesignGroupSequential(
          kMax = looks, alpha = alpha, beta = beta, sided = sided,
          typeOfDesign = type, gammaA = 3, tolerance = 1e-10
        )
        found <- getDesignCharacteristics(design)
        cases[[length(cases) + 1]] <- list(
          spending = type, looks = looks, sides = sided, alpha = alpha,
          power = 1 - beta, inflation = found$inflationFactor,
          expected = found$averageSampleNumber1 * 1.0,
          expected_null = found$averageSampleNumber0 * 1.0
        )
      }
    }
  }
}
write(
  toJSON(
    list(made_with = paste("rpact", packageVersion("rpact")), cases = cases),
    auto_unbox = TRUE, digits = 12, pretty = TRUE
  ),
  "golden.json"
)
