import prettier from 'eslint-config-prettier';
import vue from 'eslint-plugin-vue';
import ts from 'typescript-eslint';

export default ts.config(
  ...ts.configs.recommended,
  ...vue.configs['flat/recommended'],
  prettier,
  {
    files: ['**/*.vue'],
    languageOptions: { parserOptions: { parser: ts.parser } },
  },
  {
    rules: {
      'vue/multi-word-component-names': 'off',
      'vue/require-default-prop': 'off',
      // Events are hostile input: markup never comes from data, and the policy forbids inline styles.
      'vue/no-v-html': 'error',
      'vue/no-static-inline-styles': 'error',
      'no-restricted-properties': ['error', { property: 'innerHTML', message: 'markup from data' }],
    },
  },
);
