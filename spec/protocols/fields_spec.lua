-- SPDX-License-Identifier: Apache-2.0
-- The field references in docs/protocols are what the layouts say.
local BUILD = os.getenv "TG_BUILD" or "build/release"

describe("the field reference", function()
  for _, name in ipairs { "gbt32960", "gt06", "jt808" } do
    it("of " .. name .. " is up to date: else run `make fields`", function()
      local command = "lua5.4 .ci/fields.lua %s --check %s"
      assert.is_true((os.execute(command:format(BUILD, name))) == true)
    end)
  end
end)
