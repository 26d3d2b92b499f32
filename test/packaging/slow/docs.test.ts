import { dockerTestsImpossible } from "#test/lab/docker-host.js";
import { pageTests } from "#test/lab/docs/page-tests.js";
import { programMissing } from "#test/lab/requirements.js";

/** Pages that need more programs, or minutes. */
pageTests(
  true,
  dockerTestsImpossible() ?? programMissing("ufw", "ufw") ?? programMissing("docker-compose", "docker-compose"),
);
