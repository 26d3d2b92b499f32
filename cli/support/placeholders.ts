/** Meanings of the placeholders in forms and flags. */
export const PLACEHOLDERS: Readonly<Record<string, string>> = {
  peer: "<ip_address_or_fqdn>[:<port>]",
  addr: "[ip:]<cidr> | net:<cidr> | net:default",
  cidr: "<ip_address>/<routing_prefix_length>",
  peer_id: "<nickname> | <peer_name>",
  mode: "consensus[=<count>] | seed=<peer_name>,... | observer",
  container: "<name> | <id> | netns:<name> | /path/of/a/netns | <pid>",
  capture_target: "<peer_id> | <container> | <ip_address> | <interface>",
  target: "<peer_id> | <container> | <ip_address> | <mac>",
  endpoint: "[tcp://][<ip_address>]:<port> | [unix://]/path",
  format: "a template such as {{.Router.Name}}, or {{json .Router}}",
};
