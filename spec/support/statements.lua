-- SPDX-License-Identifier: Apache-2.0
-- Tags for the name of a spec that runs in several versions of MQTT (.ci/conformance.lua has
-- what they mean):
--   it("answers pings" .. tags(version, { [4] = "3.12.4-1", [5] = "3.12.4-1" }), …)
local NAMES = { [4] = "3.1.1", [5] = "5.0" }

---@param version integer protocol level
---@param ids table level → ids with commas between them
---@return string tag "" where that version has none
return function(version, ids)
  local list = ids[version]
  return list and (" [%s: %s]"):format(NAMES[version], list) or ""
end
