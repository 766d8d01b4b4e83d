package main

import (
	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/api"
)

func (p *program) openapiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "openapi", Short: "Print the OpenAPI 3.1 document of the API", Args: none,
		RunE: func(*cobra.Command, []string) error {
			document, err := api.OpenAPI()
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(document)
			return err
		},
	}
}
